"""The source over a scripted Graph: which calls it makes, and what it makes of the answers."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from satchel.contract.attachments import Attachment
from satchel.mail.graph.content import content_key
from satchel.mail.graph.ids import Place
from satchel.mail.graph.options import GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.host import ContentFact
from satchel.mail.source import AttachmentNotFound, MessageNotFound, NotDownloadable, NotReady, SourceUnavailable
from satchel.testing.host import MemoryHost
from tests.unit.mail.graph.fakes import Asked, FakeAnswer, FakeGraph, FakeTokens, http_over, json, refusal

MAILBOX = "a@example.com"
MESSAGE = "AAkALgAA" + "m" * 20
REF = Place(MESSAGE, "<1@x>", 1_748_937_540).ref(MAILBOX)
NOW = datetime(2025, 6, 3, 8, tzinfo=UTC)
FILE = "#microsoft.graph.fileAttachment"
ROUND_TRIP_SECONDS = 1.0


def listed(name: str, content_type: str = "application/pdf", **fields: Any) -> dict[str, Any]:
    return {
        "@odata.type": FILE,
        "id": f"AAkA{name.replace('.', '_').replace(' ', '_')}",
        "name": name,
        "contentType": content_type,
        "size": 1_053,
        "lastModifiedDateTime": "2025-06-03T08:00:00Z",
        **fields,
    }


class Mail:
    """One message with its attachments; each call takes a second."""

    def __init__(self, *attachments: dict[str, Any], html: str = "") -> None:
        self.attachments = list(attachments)
        self.html = html
        self.bytes = b"x" * 816
        self.graph = FakeGraph(self.answer)
        self.host = MemoryHost()
        self.now = NOW

    def source(self, **options: Any) -> GraphSource:
        return GraphSource(
            GraphOptions(mailboxes=[MAILBOX]),
            FakeTokens(),
            self.host,
            http=http_over(self.graph, **options),
            now=lambda: self.now,
        )

    async def answer(self, asked: Asked) -> FakeAnswer:
        await asyncio.sleep(ROUND_TRIP_SECONDS)
        path = asked.path.removeprefix(f"users/{MAILBOX}/messages/{MESSAGE}")
        if path == "":
            if asked.params["$select"] == "body":
                return json({"body": {"contentType": "html", "content": self.html}})
            return json({"id": MESSAGE, "internetMessageId": "<1@x>", "receivedDateTime": "2025-06-03T07:59:00Z"})
        if path == "/attachments":
            return json({"value": self.attachments})
        wanted, _, rest = path.removeprefix("/attachments/").partition("/")
        known = [each for each in self.attachments if each["id"] == wanted]
        if not known:
            return refusal(404, "ErrorItemNotFound")
        return FakeAnswer(200, self.bytes) if rest else json(known[0])

    @property
    def calls(self) -> list[str]:
        return [path.removeprefix(f"users/{MAILBOX}/messages/{MESSAGE}") for path in self.graph.paths]


def elapsed() -> float:
    return asyncio.get_running_loop().time()


async def content_of(source: GraphSource, attachment_id: str) -> bytes:
    content = await source.open(REF, attachment_id)
    try:
        return b"".join([piece async for piece in content.chunks()])
    finally:
        await content.aclose()


async def test_no_content_is_asked_for_with_a_list() -> None:
    mail = Mail(listed("a.pdf"))
    await mail.source().list(REF)
    (asked,) = mail.graph.asked
    assert asked.params["$select"] == (
        "id,name,contentType,size,isInline,lastModifiedDateTime,microsoft.graph.fileAttachment/contentId"
    )


async def test_the_text_is_asked_for_only_where_it_decides_and_only_once() -> None:
    mail = Mail(listed("a.pdf", isInline=True, contentId="a@x"), listed("b.png", "image/png", isInline=True))
    source = mail.source()
    assert [each.is_inline for each in await source.list(REF)] == [False, False]
    assert mail.calls == ["/attachments"]
    mail.attachments.append(listed("c.png", "image/png", isInline=False, contentId="c@x"))
    mail.html = '<img src="cid:c@x">'
    assert [each.is_inline for each in await source.list(REF)] == [False, False, True]
    await source.list(REF)
    assert mail.calls.count("") == 1
    # One more picture, as after a scan: the text was not asked about that.
    mail.attachments.append(listed("d.png", "image/png", isInline=True, contentId="d@x"))
    assert [each.is_inline for each in await source.list(REF)] == [False, False, True, False]
    assert mail.calls.count("") == 2


@pytest.mark.parametrize(
    ("attachments", "html", "expected"),
    [
        ([], "", False),
        ([listed("scan.pdf", isInline=True, contentId="s@x")], '<a href="cid:s@x">', True),
        ([listed("logo.png", "image/png", isInline=True, contentId="l@x")], '<img src="cid:l@x">', False),
        ([listed("photo.png", "image/png", isInline=True, contentId="l@x")], "no picture", True),
        ([listed("mail", **{"@odata.type": "#microsoft.graph.itemAttachment"})], "", True),
    ],
)
async def test_documents_count_as_attachments_and_pictures_in_the_text_do_not(
    attachments: list[dict[str, Any]], html: str, expected: bool
) -> None:
    assert (await Mail(*attachments, html=html).source().describe(REF)).has_attachments is expected


async def test_a_description_is_one_round_trip_where_there_is_room_and_two_where_there_is_not() -> None:
    mail = Mail(listed("a.pdf"))
    summary = await mail.source().describe(REF)
    assert summary.ref == REF
    assert elapsed() == pytest.approx(ROUND_TRIP_SECONDS)
    await mail.source(max_concurrent_per_mailbox=1).describe(REF)
    assert elapsed() == pytest.approx(3 * ROUND_TRIP_SECONDS)


async def test_the_first_byte_is_one_round_trip_away_after_a_list_and_without_one() -> None:
    mail = Mail(listed("a.pdf"))
    source = mail.source()
    (attachment,) = await source.list(REF)
    assert await content_of(source, attachment.id) == mail.bytes
    assert mail.calls == ["/attachments", f"/attachments/{attachment.id}/$value"]
    assert elapsed() == pytest.approx(2 * ROUND_TRIP_SECONDS)
    mail.host.facts.clear()
    assert await content_of(mail.source(), attachment.id) == mail.bytes
    # Its metadata and its body were asked for at once, each one time.
    assert sorted(mail.calls[2:]) == [f"/attachments/{attachment.id}", f"/attachments/{attachment.id}/$value"]
    assert elapsed() == pytest.approx(3 * ROUND_TRIP_SECONDS)


async def test_with_one_place_alone_metadata_and_body_follow_each_other() -> None:
    mail = Mail(listed("a.pdf"))
    source = mail.source(max_concurrent_per_mailbox=1)
    assert await content_of(source, "AAkAa_pdf") == mail.bytes
    assert mail.graph.peak == 1
    assert source._http.free_places(MAILBOX) == 1


async def test_a_throttled_pair_is_asked_for_one_after_the_other() -> None:
    mail = Mail(listed("a.pdf"))
    plain = mail.answer

    async def twice_throttled(asked: Asked) -> FakeAnswer:
        if len(mail.graph.asked) <= 2:
            return refusal(429, "ApplicationThrottled", Retry_After="2")
        return await plain(asked)

    mail.graph._script = twice_throttled
    source = mail.source(max_concurrent_per_mailbox=2)
    assert await content_of(source, "AAkAa_pdf") == mail.bytes
    assert len(mail.calls) == 4
    assert source._http.free_places(MAILBOX) == 1


async def test_a_body_in_hand_is_given_up_where_its_metadata_has_to_wait() -> None:
    mail = Mail(listed("a.pdf"))
    plain = mail.answer

    async def throttled_once(asked: Asked) -> FakeAnswer:
        is_first = not any(each.path == asked.path for each in mail.graph.asked[:-1])
        if is_first and not asked.path.endswith("/$value"):
            await asyncio.sleep(2 * ROUND_TRIP_SECONDS)
            # The mailbox has one place after that, and the body holds it.
            return refusal(429, "ApplicationThrottled", Retry_After="2")
        return await plain(asked)

    mail.graph._script = throttled_once
    source = mail.source(max_concurrent_per_mailbox=2)
    assert await content_of(source, "AAkAa_pdf") == mail.bytes
    assert source._http.free_places(MAILBOX) == 1


async def test_what_has_been_read_is_listed_to_the_byte() -> None:
    mail = Mail(listed("a.pdf"), listed("b.pdf"))
    source = mail.source()
    assert [each.size for each in await source.list(REF)] == [1_053, 1_053]
    await content_of(source, "AAkAa_pdf")
    assert [each.size for each in await source.list(REF)] == [816, 1_053]
    # A change of the attachment is another content.
    mail.attachments[0]["lastModifiedDateTime"] = "2025-06-03T09:00:00Z"
    assert [each.size for each in await source.list(REF)] == [1_053, 1_053]


async def test_a_host_that_fails_is_no_reason_to_fail() -> None:
    class BrokenHost(MemoryHost):
        async def content_facts(self, keys: Any) -> dict[str, ContentFact]:
            raise OSError("the store is away")

    mail = Mail(listed("a.pdf"))
    mail.host = BrokenHost()
    source = mail.source()
    assert [each.size for each in await source.list(REF)] == [1_053]
    assert await content_of(source, "AAkAa_pdf") == mail.bytes


@pytest.mark.parametrize("kind", ["itemAttachment", "referenceAttachment"])
@pytest.mark.parametrize("is_listed", [True, False])
async def test_what_is_no_file_is_refused_before_its_bytes(kind: str, is_listed: bool) -> None:
    mail = Mail(listed("a", **{"@odata.type": f"#microsoft.graph.{kind}"}))
    source = mail.source()
    if is_listed:
        await source.list(REF)
    with pytest.raises(NotDownloadable):
        await source.open(REF, "AAkAa")
    assert source._http.free_places(MAILBOX) == 4


@pytest.mark.parametrize("wanted", ["", "..", "../../etc/passwd", "AAkAother"])
async def test_an_attachment_that_is_not_there(wanted: str) -> None:
    source = Mail(listed("a.pdf")).source()
    with pytest.raises(AttachmentNotFound):
        await source.open(REF, wanted)
    assert source._http.free_places(MAILBOX) == 4


async def test_a_message_that_is_not_there_is_no_attachment_that_is_not() -> None:
    gone = FakeGraph(
        lambda asked: json({"value": []}) if "$filter" in asked.params else refusal(404, "ErrorItemNotFound")
    )
    source = GraphSource(GraphOptions(mailboxes=[MAILBOX]), FakeTokens(), MemoryHost(), http=http_over(gone))
    for call in (source.open(REF, "AAkAa"), source.list(REF), source.describe(REF)):
        with pytest.raises(MessageNotFound):
            await call
    assert source._http.free_places(MAILBOX) == 4


async def test_an_application_without_permission_is_transient_trouble() -> None:
    graph = FakeGraph(lambda asked: refusal(403, "ErrorAccessDenied"))
    source = GraphSource(GraphOptions(mailboxes=[MAILBOX]), FakeTokens(), MemoryHost(), http=http_over(graph))
    for call in (source.open(REF, "AAkAa"), source.list(REF), source.describe(REF)):
        with pytest.raises(SourceUnavailable) as caught:
            await call
        assert caught.value.upstream_status == 403


async def test_a_placeholder_is_waited_for_and_then_given_out_as_it_is() -> None:
    placeholder = listed("ATP Scan In Progress", **{"@odata.type": "#microsoft.graph.itemAttachment"})
    mail = Mail(listed("a.pdf"), placeholder)
    source = mail.source()
    for call in (source.list(REF), source.describe(REF), source.open(REF, "AAkAATP_Scan_In_Progress")):
        with pytest.raises(NotReady) as caught:
            await call
        assert caught.value.retry_after_seconds == 60.0
    assert await content_of(source, "AAkAa_pdf") == mail.bytes
    mail.now = NOW + timedelta(seconds=1_801)
    assert len(await source.list(REF)) == 2
    assert (await source.describe(REF)).has_attachments


async def test_what_stood_there_while_scanning_is_not_remembered() -> None:
    mail = Mail(listed("ATP Scan In Progress"))
    source = mail.source()
    with pytest.raises(NotReady):
        await source.list(REF)
    assert source._attachments.listed(MAILBOX, MESSAGE, "AAkAATP_Scan_In_Progress") is None
    mail.attachments = [listed("a.pdf")]
    assert [each.name for each in await source.list(REF)] == ["a.pdf"]


async def test_a_remembered_content_is_opened_without_a_call() -> None:
    mail = Mail(listed("a.pdf"))
    source = mail.source()
    (attachment,) = await source.list(REF)
    mail.host.facts[content_key(attachment)] = ContentFact(816, "0" * 64)
    content = await source.open(REF, attachment.id)
    assert (content.size, mail.calls) == (816, ["/attachments"])
    await content.aclose()


async def test_a_file_that_has_changed_since_the_list_is_looked_at_anew() -> None:
    mail = Mail(listed("a.pdf"))
    source = mail.source()
    (attachment,) = await source.list(REF)
    await content_of(source, attachment.id)
    mail.attachments = [listed("a.pdf", size=1_300, lastModifiedDateTime="2025-06-03T09:00:00Z")]
    mail.bytes = b"y" * 1_000
    with pytest.raises(SourceUnavailable):
        await content_of(source, attachment.id)
    content = await source.open(REF, attachment.id)
    assert (content.size, content.attachment.last_modified) == (1_000, datetime(2025, 6, 3, 9, tzinfo=UTC))
    assert content.etag != content_key(attachment)
    await content.aclose()


async def test_what_is_open_is_what_was_listed() -> None:
    mail = Mail(listed("a.pdf"))
    source = mail.source()
    (attachment,) = await source.list(REF)
    content = await source.open(REF, attachment.id)
    opened: Attachment = content.attachment
    assert (opened.name, opened.content_type, opened.size) == ("a.pdf", "application/pdf", 816)
    await content.aclose()


async def test_closing_closes_everything() -> None:
    mail = Mail()
    source = mail.source()
    await source.list(REF)
    await source.aclose()
    assert mail.graph.closed
    assert source._tokens.closed  # type: ignore[attr-defined]
    assert await source.mailboxes() == [MAILBOX]
