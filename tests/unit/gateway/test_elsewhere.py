"""Ids that the index does not know: the source is asked, in the key's own mailboxes alone, and tells no more by it."""

from collections.abc import Callable, Collection
from functools import partial

import pytest
import sqlalchemy as sa
from starlette.types import ASGIApp

from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.contract.scopes import Scope
from satchel.gateway.admission import MOST_MAILBOXES_ASKED, Admission
from satchel.gateway.api.application import build_application
from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.rates import AccountRates, FailedKeys, Limits
from satchel.gateway.limits.windows import MemoryWindow
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.source import MessageRef, NotReady, SourceUnavailable
from tests.unit.gateway.conftest import MakeKey
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, Answer, MemoryContent, MemorySource, attachment, call, ref

LIST, DOWNLOAD, ARCHIVE = LIST_ATTACHMENTS, DOWNLOAD_ATTACHMENT, DOWNLOAD_ARCHIVE


class AskedSource(MemorySource):
    """Remembers what it was asked to find, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.trouble: Exception | None = None

    async def resolve(self, message_id: str, mailboxes: Collection[str]) -> MessageRef | None:
        self.asked.append((message_id, tuple(mailboxes)))
        if self.trouble is not None:
            raise self.trouble
        return self.elsewhere.get(message_id)


@pytest.fixture
def source() -> AskedSource:
    source = AskedSource()
    source.files["immutable"] = {"a1": MemoryContent(attachment("a1", b"data"), [b"data"], 4)}
    source.files["known"] = {"a1": MemoryContent(attachment("a1", b"data"), [b"data"], 4)}
    return source


MakeAsking = Callable[..., ASGIApp]


@pytest.fixture
def asking(store: Store, source: AskedSource) -> MakeAsking:
    """The application over a source that resolves, with a rate per minute."""

    def make(limit: int = 0) -> ASGIApp:
        service = AttachmentService({DEFAULT_ACCOUNT_ID: source})
        limits = Limits(
            AccountRates(MemoryWindow(), lambda _: limit),
            FailedKeys(MemoryWindow(), 0),
            Downloads(per_key=9, in_all=9),
            Downloads(per_key=9, in_all=9),
        )
        resolving = {DEFAULT_ACCOUNT_ID: partial(service.resolve, DEFAULT_ACCOUNT_ID)}

        async def ready() -> dict[str, bool]:
            return {}

        return build_application(Admission(store, limits, resolving=resolving), service, Reporting(store), ready)

    return make


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "x-request-id": "test"}


async def listed(app: ASGIApp, message_id: str, key: str) -> Answer:
    return await call(app, LIST.url(message_id=message_id), headers=bearer(key))


async def test_an_id_from_elsewhere_is_served_as_it_was_asked_for(
    source: AskedSource, asking: MakeAsking, make_key: MakeKey
) -> None:
    app, key = asking(), make_key()
    source.elsewhere["mutable"] = ref("immutable")
    answer = await listed(app, "mutable", key)
    assert (answer.status, b'"id":"a1"' in answer.body) == (200, True)
    for url in (DOWNLOAD.url(message_id="mutable", attachment_id="a1"), ARCHIVE.url(message_id="mutable")):
        assert (await call(app, url, headers=bearer(key))).status == 200
    assert source.asked == [("mutable", (MAILBOX,))] * 3


async def test_what_the_index_knows_is_asked_of_nobody(
    source: AskedSource, asking: MakeAsking, make_key: MakeKey, index: Callable[..., None], engine: sa.Engine
) -> None:
    app, key = asking(), make_key()
    index("known")
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert (await listed(app, "known", key)).status == 200
    assert (source.asked, statements) == ([], [])
    assert (await listed(app, "never", key)).status == 404
    assert (len(source.asked), len(statements)) == (1, 1)


async def test_only_the_keys_own_mailboxes_are_asked_whatever_the_index_has(
    source: AskedSource, asking: MakeAsking, make_key: MakeKey, index: Callable[..., None]
) -> None:
    app, key = asking(), make_key()
    index("board", mailbox=OTHER_MAILBOX)
    forbidden, unknown = await listed(app, "board", key), await listed(app, "never", key)
    assert source.asked == [("board", (MAILBOX,)), ("never", (MAILBOX,))]
    assert (forbidden.status, unknown.status) == (404, 404)
    assert forbidden.headers == unknown.headers
    assert forbidden.body.replace(b"board", b"never") == unknown.body


async def test_a_source_that_finds_it_in_another_mailbox_gives_nothing_away(
    source: AskedSource, asking: MakeAsking, make_key: MakeKey
) -> None:
    source.elsewhere["board"] = ref("immutable", OTHER_MAILBOX)
    assert (await listed(asking(), "board", make_key())).status == 404


async def test_a_key_for_many_mailboxes_sets_nobody_to_search_them_all(
    source: AskedSource, asking: MakeAsking, make_key: MakeKey, engine: sa.Engine
) -> None:
    many = [f"box-{number}@example.com" for number in range(MOST_MAILBOXES_ASKED + 1)]
    for address in many:
        add_mailbox(engine, address)
    app = asking()
    assert (await listed(app, "any", make_key(mailboxes=tuple(many)))).status == 404
    assert source.asked == []
    assert (await listed(app, "any", make_key(mailboxes=tuple(many[1:])))).status == 404
    assert [len(mailboxes) for _, mailboxes in source.asked] == [MOST_MAILBOXES_ASKED]


async def test_rate_and_scope_come_before(source: AskedSource, asking: MakeAsking, make_key: MakeKey) -> None:
    app, key = asking(limit=1), make_key(Scope.REPORTING)
    assert [(await listed(app, "any", key)).status for _ in range(2)] == [403, 429]
    assert (await call(app, LIST.url(message_id="any"))).status == 401
    assert source.asked == []


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(SourceUnavailable("", upstream_status=429), 429), (SourceUnavailable(""), 503), (NotReady(""), 503)],
)
async def test_trouble_is_told_as_such(
    trouble: Exception, status: int, source: AskedSource, asking: MakeAsking, make_key: MakeKey
) -> None:
    source.trouble = trouble
    answer = await listed(asking(), "any", make_key())
    assert answer.status == status
    assert int(answer.headers["retry-after"]) > 0


async def test_a_source_that_is_not_asked_costs_no_question_more(
    source: AskedSource, make_app: Callable[..., ASGIApp], make_key: MakeKey, engine: sa.Engine
) -> None:
    app, key = make_app(), make_key()
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert (await listed(app, "never", key)).status == 404
    assert (source.asked, statements) == ([], [])
