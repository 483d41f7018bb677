import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.identity import Identity
from satchel.mail.graph.ids import Place
from satchel.mail.graph.translation import Translations
from satchel.mail.source import (
    AttachmentNotFound,
    MessageNotFound,
    MessageRef,
    NotDownloadable,
    SourceError,
    SourceUnavailable,
)
from tests.unit.mail.graph.fakes import Asked, FakeAnswer, FakeGraph, http_over, json, refusal

A, B = "a@example.com", "b@example.com"
OLD, NEW = "AAkALgAAold" + "x" * 20, "AAkALgAAnew" + "x" * 20
MUTABLE = "AAMkAG" + "m" * 30
REF = Place(OLD, "<it's@x>").ref(A)
GONE = refusal(404, "ErrorItemNotFound")


class Mail:
    """Messages of some mailboxes: by (mailbox, id) their Message-ID; `mutable` ids lead to others."""

    def __init__(self, **_: Any) -> None:
        self.messages: dict[tuple[str, str], str] = {}
        self.mutable: dict[str, str] = {}
        self.hits: list[dict[str, Any]] | None = None
        self.failing: dict[str, FakeAnswer] = {}

    def __call__(self, asked: Asked) -> FakeAnswer:
        _, mailbox, kind, *rest = asked.path.split("/")
        if mailbox in self.failing:
            return self.failing[mailbox]
        if kind == "translateExchangeIds":
            return self.translated(msgspec.json.decode(asked.request.body or b""))
        if not rest:
            return json({"value": self.found(mailbox, unquote(asked.params["$filter"]))})
        known = self.messages.get((mailbox, rest[0]))
        return GONE if known is None else json({"id": rest[0], "internetMessageId": known})

    def translated(self, body: dict[str, Any]) -> FakeAnswer:
        assert len(body["inputIds"]) <= 1000
        assert (body["sourceIdType"], body["targetIdType"]) == ("restId", "restImmutableEntryId")
        if "bad" in body["inputIds"]:
            return refusal(400, "ErrorInvalidIdMalformed")
        known = [each for each in body["inputIds"] if each in self.mutable]
        return json({"value": [{"sourceId": each, "targetId": self.mutable[each]} for each in known]})

    def found(self, mailbox: str, condition: str) -> list[dict[str, Any]]:
        if self.hits is not None:
            return self.hits
        wanted = condition.removeprefix("internetMessageId eq '").removesuffix("'").replace("''", "'")
        return [{"id": key} for (of, key), known in self.messages.items() if (of, known) == (mailbox, wanted)]


@pytest.fixture
def mail() -> Mail:
    return Mail()


def over(mail: Mail | Callable[[Asked], FakeAnswer]) -> tuple[FakeGraph, Identity]:
    graph = FakeGraph(mail)
    return graph, Identity(http_over(graph), [A, B])


def reading(identity: Identity, graph: FakeGraph) -> Callable[[str], Any]:
    http = identity._http

    async def read(at: str) -> str:
        return (await http.get(f"users/{A}/messages/{at}", mailbox=A, as_=dict))["id"]

    return read


async def test_a_message_in_its_place_costs_one_call(mail: Mail) -> None:
    mail.messages[A, OLD] = "<it's@x>"
    graph, identity = over(mail)
    assert await identity.at_place(REF, reading(identity, graph)) == OLD
    assert len(graph.asked) == 1


async def test_one_that_has_only_just_arrived_is_looked_for_again(mail: Mail) -> None:
    graph, identity = over(mail)
    looking = asyncio.create_task(identity.at_place(REF, reading(identity, graph)))
    await asyncio.sleep(0.2)
    mail.messages[A, OLD] = "<it's@x>"
    assert await looking == OLD
    assert len(graph.asked) == 2


async def test_one_that_has_moved_is_found_by_its_message_id_and_stays_found(mail: Mail) -> None:
    mail.messages[A, OLD] = "<it's@x>"
    graph, identity = over(mail)
    await identity.at_place(REF, reading(identity, graph))
    mail.messages = {(A, NEW): "<it's@x>"}
    assert await identity.at_place(REF, reading(identity, graph)) == NEW
    # It was there before, so nobody waits for it to appear.
    assert asyncio.get_running_loop().time() == 0
    assert identity.current_id(REF) == NEW
    assert "internetMessageId eq '<it''s@x>'" in [unquote(asked.params.get("$filter", "")) for asked in graph.asked]
    before = len(graph.asked)
    assert await identity.at_place(REF, reading(identity, graph)) == NEW
    assert len(graph.asked) == before + 1
    mail.messages = {(A, OLD): "<it's@x>"}
    assert await identity.at_place(REF, reading(identity, graph)) == OLD


async def test_one_that_is_found_nowhere_is_looked_for_anew_the_next_time(mail: Mail) -> None:
    mail.messages[A, NEW] = "<it's@x>"
    graph, identity = over(mail)
    assert await identity.at_place(REF, reading(identity, graph)) == NEW
    mail.messages, mail.hits = {}, []
    with pytest.raises(MessageNotFound):
        await identity.at_place(REF, reading(identity, graph))
    # It is back where it was at first, and the search does not know that yet.
    mail.messages[A, OLD] = "<it's@x>"
    assert await identity.at_place(REF, reading(identity, graph)) == OLD


async def test_one_that_is_gone_is_gone(mail: Mail) -> None:
    graph, identity = over(mail)
    with pytest.raises(MessageNotFound):
        await identity.at_place(REF, reading(identity, graph))
    assert len(graph.asked) == 3
    with pytest.raises(MessageNotFound):
        await identity.at_place(Place(OLD).ref(A), reading(identity, graph))
    # Without a Message-ID there is nothing to search for.
    assert len(graph.asked) == 5


async def test_the_index_of_the_search_may_be_behind(mail: Mail) -> None:
    mail.hits = [{"id": OLD}]
    graph, identity = over(mail)
    with pytest.raises(MessageNotFound):
        await identity.at_place(REF, reading(identity, graph))
    # What was just not there is not asked for once more.
    assert len(graph.asked) == 3


HITS: list[tuple[list[dict[str, Any]], str | None]] = [
    ([{"id": NEW}], NEW),
    ([{"id": NEW, "isDraft": True}], None),
    ([{"id": "..", "isDraft": False}], None),
    (
        [
            {"id": "A", "receivedDateTime": "2025-01-01T00:00:00Z"},
            {"id": NEW, "receivedDateTime": "2025-01-02T00:00:00Z"},
        ],
        NEW,
    ),
    ([{"id": NEW, "receivedDateTime": "2025-01-02T00:00:00Z"}, {"id": "A", "receivedDateTime": None}], NEW),
    ([{"id": "A", "subject": "Invoice"}, {"id": NEW, "subject": "Other"}], None),
    ([{"id": "A", "from": {"emailAddress": {"address": "m@x"}}}, {"id": NEW, "from": None}], None),
    ([], None),
]


RECEIVED = "2025-06-03T07:59:00Z"


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([{"id": NEW, "receivedDateTime": RECEIVED}], NEW),
        ([{"id": NEW, "receivedDateTime": "2025-06-03T09:59:00.000+02:00"}], NEW),
        # Sent later under the same Message-ID, to be taken for the one that is gone.
        ([{"id": NEW, "receivedDateTime": "2025-06-03T08:59:00Z"}], None),
        ([{"id": NEW}], None),
        (
            [
                {"id": NEW, "receivedDateTime": RECEIVED, "subject": "Invoice"},
                {"id": "A", "receivedDateTime": "2025-06-03T08:59:00Z", "subject": "Other"},
            ],
            NEW,
        ),
    ],
)
async def test_only_what_was_received_at_the_same_moment_is_it(
    mail: Mail, hits: list[dict[str, Any]], expected: str | None
) -> None:
    mail.hits = hits
    mail.messages[A, NEW] = "<it's@x>"
    graph, identity = over(mail)
    received_at = int(datetime(2025, 6, 3, 7, 59, tzinfo=UTC).timestamp())
    ref = Place(OLD, "<it's@x>", received_at).ref(A)
    if expected is None:
        with pytest.raises(MessageNotFound):
            await identity.at_place(ref, reading(identity, graph))
    else:
        assert await identity.at_place(ref, reading(identity, graph)) == expected


@pytest.mark.parametrize(("hits", "expected"), HITS)
async def test_which_of_several_it_is(mail: Mail, hits: list[dict[str, Any]], expected: str | None) -> None:
    mail.hits = hits
    mail.messages[A, NEW] = "<it's@x>"
    graph, identity = over(mail)
    if expected is None:
        with pytest.raises(MessageNotFound):
            await identity.at_place(REF, reading(identity, graph))
    else:
        assert await identity.at_place(REF, reading(identity, graph)) == expected


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (refusal(403, "ErrorAccessDenied"), SourceUnavailable, 403),
        (refusal(404, "MailboxNotEnabledForRESTAPI"), SourceUnavailable, 404),
        (refusal(405, ""), NotDownloadable, None),
        (refusal(423, ""), SourceUnavailable, 423),
        (refusal(400, "ErrorInvalidIdMalformed"), MessageNotFound, None),
        (refusal(400, "BadRequest"), SourceError, None),
        (refusal(501, ""), SourceError, None),
    ],
)
async def test_refusals_become_the_ports_errors(
    answer: FakeAnswer, error: type[SourceError], status: int | None
) -> None:
    graph, identity = over(lambda asked: answer)
    with pytest.raises(error) as caught:
        await identity.at_place(Place(OLD).ref(A), reading(identity, graph))
    assert type(caught.value) is error
    assert getattr(caught.value, "upstream_status", None) == status


async def test_an_attachment_that_is_gone_is_told_from_a_message_that_is(mail: Mail) -> None:
    mail.messages[A, OLD] = "<it's@x>"
    _, identity = over(mail)

    async def call(at: str) -> None:
        raise GraphRefusal(404, "ErrorItemNotFound")

    with pytest.raises(AttachmentNotFound):
        await identity.at_attachment(REF, call)
    mail.messages.clear()
    with pytest.raises(MessageNotFound):
        await identity.at_attachment(REF, call)


@pytest.mark.parametrize("ref", [MessageRef("c@example.com", OLD, OLD), MessageRef(A, OLD, NEW), MessageRef(A, "", "")])
async def test_nobody_is_asked_about_what_cannot_be(mail: Mail, ref: MessageRef) -> None:
    graph, identity = over(mail)
    with pytest.raises(MessageNotFound):
        await identity.at_place(ref, reading(identity, graph))
    assert graph.asked == []


async def test_a_mutable_id_leads_to_its_message(mail: Mail) -> None:
    mail.messages[B, NEW] = "<1@x>"
    mail.mutable[MUTABLE] = NEW
    graph, identity = over(mail)
    assert await identity.resolve(MUTABLE, [A, B]) == Place(NEW, "<1@x>").ref(B)
    before = len(graph.asked)
    assert await identity.resolve(MUTABLE, [B, A]) == Place(NEW, "<1@x>").ref(B)
    assert len(graph.asked) == before


async def test_an_immutable_id_too(mail: Mail) -> None:
    mail.messages[A, OLD] = "<1@x>"
    _, identity = over(mail)
    assert await identity.resolve(OLD, [A]) == Place(OLD, "<1@x>").ref(A)


async def test_only_mailboxes_of_both_sides_are_asked(mail: Mail) -> None:
    mail.messages["c@example.com", OLD] = mail.messages[B, OLD] = "<1@x>"
    graph, identity = over(mail)
    assert await identity.resolve(OLD, [A, "c@example.com"]) is None
    assert {path.split("/")[1] for path in graph.paths} == {A}


@pytest.mark.parametrize("text", ["", "short", "../" * 20, "~" + "!" * 30, "x" * 2_000, "ä" * 30])
async def test_what_is_no_id_costs_no_call(mail: Mail, text: str) -> None:
    graph, identity = over(mail)
    assert await identity.resolve(text, [A, B]) is None
    assert graph.asked == []


async def test_that_there_is_none_is_remembered_shortly(mail: Mail) -> None:
    graph, identity = over(mail)
    assert await identity.resolve(OLD, [A]) is None
    before = len(graph.asked)
    assert await identity.resolve(OLD, [A]) is None
    assert len(graph.asked) == before
    mail.messages[A, OLD] = "<1@x>"
    await asyncio.sleep(61)
    assert await identity.resolve(OLD, [A]) is not None


async def test_a_mailbox_that_may_not_be_read_hides_no_message_of_another(mail: Mail) -> None:
    mail.messages[B, OLD] = "<1@x>"
    mail.failing[A] = refusal(403, "ErrorAccessDenied")
    _, identity = over(mail)
    assert await identity.resolve(OLD, [A, B]) is not None
    assert await identity.resolve(OLD, [A]) is None
    mail.failing[A] = refusal(503)
    assert await identity.resolve(OLD, [A, B]) is not None


async def test_trouble_is_no_answer_and_is_not_remembered(mail: Mail) -> None:
    mail.failing[A] = refusal(503)
    _, identity = over(mail)
    with pytest.raises(SourceUnavailable):
        await identity.resolve(OLD, [A, B])
    mail.failing.clear()
    mail.messages[A, OLD] = "<1@x>"
    assert await identity.resolve(OLD, [A, B]) is not None


async def test_ids_that_are_asked_for_together_go_together(mail: Mail) -> None:
    mail.mutable = {f"AAMk{number}": f"AAkA{number}" for number in range(2_500)}
    graph = FakeGraph(mail)
    translations = Translations(http_over(graph))
    asked = [translations.immutable(A, f"AAMk{number}") for number in range(2_500)]
    asked.append(translations.immutable(A, "AAMk7"))
    found = await asyncio.gather(*asked, translations.immutable(B, "unknown"))
    assert found == [*(f"AAkA{number}" for number in range(2_500)), "AAkA7", None]
    assert len(graph.asked) == 4
    assert not translations._waiting


async def test_one_bad_id_spoils_none_of_the_others(mail: Mail) -> None:
    mail.mutable["AAMk1"] = "AAkA1"
    translations = Translations(http_over(FakeGraph(mail)))
    assert await asyncio.gather(*(translations.immutable(A, each) for each in ("bad", "AAMk1"))) == [None, "AAkA1"]


async def test_trouble_reaches_all_who_asked_and_the_next_may_try_again(mail: Mail) -> None:
    mail.failing[A] = refusal(503)
    translations = Translations(http_over(FakeGraph(mail)))
    failed = await asyncio.gather(*(translations.immutable(A, each) for each in "xy"), return_exceptions=True)
    assert all(isinstance(each, SourceUnavailable) for each in failed)
    mail.failing.clear()
    assert await translations.immutable(A, "x") is None
    hanging = asyncio.create_task(translations.immutable(A, "z"))
    await asyncio.sleep(0)
    await translations.aclose()
    await asyncio.wait({hanging})
    assert hanging.cancelled()
