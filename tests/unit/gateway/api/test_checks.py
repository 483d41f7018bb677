"""The order of the checks on a call (contract section 3), seen from outside."""

from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa

from satchel.contract.errors import ErrorEnvelope
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.contract.scopes import Scope
from satchel.gateway.access import new_key
from satchel.gateway.store.keys import list_keys, revoke_key
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import OTHER_MAILBOX, Answer, MemoryContent, MemorySource, attachment, call

LIST = LIST_ATTACHMENTS.url(message_id="m1")
DOWNLOAD = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="a1")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "x-request-id": "test"}


def reason(answer: Answer) -> str | None:
    return msgspec.json.decode(answer.body, type=ErrorEnvelope).error.reason


@pytest.fixture(autouse=True)
def _mail(source: MemorySource, make_key: MakeKey, index: Callable[..., None]) -> None:
    index("m1")
    index("board", mailbox=OTHER_MAILBOX)
    source.files["m1"] = {"a1": MemoryContent(attachment("a1", b"data"), [b"data"], 4)}


async def test_a_call_that_may_be_made(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(), make_key()
    listed = await call(app, LIST, headers=bearer(key))
    assert (listed.status, listed.headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(listed.body) == {
        "attachments": [
            {
                "id": "a1",
                "name": "invoice.pdf",
                "contentType": "application/pdf",
                "size": 4,
                "attachmentType": "fileAttachment",
            }
        ]
    }
    assert (await call(app, DOWNLOAD, headers=bearer(key))).body == b"data"


@pytest.mark.parametrize("path", [LIST, DOWNLOAD])
@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (None, "key_missing"),
        ("Bearer nonsense", "key_invalid"),
        pytest.param(f"Bearer {new_key()}", "key_invalid", id="well formed but unknown"),
        ("Basic dXNlcjpwYXNz", "key_invalid"),
        ("Bearer \xff\xfe", "key_invalid"),
    ],
)
async def test_without_a_key(make_app: MakeApp, path: str, authorization: str | None, expected: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await call(make_app(limit=1), path, headers=headers)
    assert (answer.status, reason(answer)) == (401, expected)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "ratelimit" not in answer.headers


async def test_revocation_counts_at_once(engine: sa.Engine, make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(), make_key()
    assert (await call(app, LIST, headers=bearer(key))).status == 200
    revoke_key(engine, list_keys(engine)[0].key_id)
    assert (await call(app, LIST, headers=bearer(key))).status == 401


async def test_the_rate_comes_before_the_scope(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(limit=2), make_key(Scope.REPORTING)
    answers = [await call(app, LIST, headers=bearer(key)) for _ in range(3)]
    assert [answer.status for answer in answers] == [403, 403, 429]
    assert reason(answers[2]) == "rate_limited"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
    assert answers[0].headers["ratelimit-policy"] == '"account";q=2;w=60'


async def test_all_keys_of_an_account_share_its_rate(make_app: MakeApp, make_key: MakeKey) -> None:
    app = make_app(limit=1)
    assert (await call(app, LIST, headers=bearer(make_key()))).status == 200
    assert (await call(app, LIST, headers=bearer(make_key()))).status == 429


async def test_calls_without_a_key_cost_nothing(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(limit=1), make_key()
    assert (await call(app, LIST)).status == 401
    assert (await call(app, LIST, headers=bearer(key))).status == 200


@pytest.mark.parametrize("message_id", ["m1", "board", "unknown"])
@pytest.mark.parametrize(
    ("path", "scope"), [(LIST, Scope.MESSAGES_CONTENT), (DOWNLOAD, Scope.MESSAGES_READ), (LIST, Scope.REPORTING)]
)
async def test_the_scope_comes_before_the_message(
    make_app: MakeApp, make_key: MakeKey, path: str, scope: Scope, message_id: str
) -> None:
    answer = await call(make_app(), path.replace("m1", message_id), headers=bearer(make_key(scope)))
    assert (answer.status, reason(answer)) == (403, "missing_scope")


async def test_unknown_and_forbidden_are_the_same_byte_for_byte(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(), make_key()
    for path in (LIST, DOWNLOAD):
        answers = [
            await call(app, path.replace("m1", message_id), headers=bearer(key)) for message_id in ("board", "never")
        ]
        assert [answer.status for answer in answers] == [404, 404]
        bodies = [answer.body.replace(b"board", b"ID").replace(b"never", b"ID") for answer in answers]
        assert bodies[0] == bodies[1]
        assert answers[0].headers == answers[1].headers


async def test_a_message_that_is_gone_is_not_told_from_an_unknown_one(
    make_app: MakeApp, make_key: MakeKey, index: Callable[..., None]
) -> None:
    index("gone")
    app, key = make_app(), make_key()
    gone = await call(app, LIST.replace("m1", "gone"), headers=bearer(key))
    unknown = await call(app, LIST.replace("m1", "none"), headers=bearer(key))
    assert gone.body.replace(b"gone", b"none") == unknown.body
    assert gone.headers == unknown.headers


async def test_an_unknown_attachment(make_app: MakeApp, make_key: MakeKey) -> None:
    answer = await call(make_app(), DOWNLOAD.replace("a1", "a2"), headers=bearer(make_key()))
    assert (answer.status, reason(answer)) == (404, "not_found")


async def test_only_files_can_be_downloaded(source: MemorySource, make_app: MakeApp, make_key: MakeKey) -> None:
    item = attachment("a2", attachment_type="itemAttachment")
    source.files["m1"]["a2"] = MemoryContent(item, [], 0)
    answer = await call(make_app(), DOWNLOAD.replace("a1", "a2"), headers=bearer(make_key()))
    assert (answer.status, reason(answer)) == (403, "attachment_type_not_downloadable")
