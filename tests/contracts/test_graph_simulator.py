"""The Graph simulator as a bare HTTP client sees it when nothing goes wrong."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from satchel.contract.attachments import AttachmentType
from satchel.testing.content import Given
from satchel.testing.graph import ARCHIVE, GraphSimulator, Limits
from satchel.testing.mail import (
    Leaf,
    SampleMessage,
    file_part,
    large_message,
    message,
    message_with_files,
    message_with_link,
    message_with_message,
    message_with_picture,
    sample_messages,
    tiny_pdf,
)
from tests.contracts.graph_calls import IMMUTABLE, MAILBOX, USER, Graph, digest, graph


@pytest.fixture
async def simulator() -> AsyncIterator[GraphSimulator]:
    async with GraphSimulator(tls=False) as running:
        running.add_mailbox(MAILBOX)
        yield running


@pytest.fixture
async def client(simulator: GraphSimulator) -> AsyncIterator[Graph]:
    async with graph(simulator) as client:
        yield client


@pytest.mark.parametrize("sample", sample_messages(700_000), ids=lambda sample: sample.name)
async def test_attachments_are_listed_and_downloaded(
    sample: SampleMessage, simulator: GraphSimulator, client: Graph
) -> None:
    message_id = simulator.deliver(MAILBOX, sample)
    found = await client.attachments(message_id)
    assert [each["name"] for each in found] == [each.name for each in sample.expected]
    for each, expected in zip(found, sample.expected, strict=True):
        assert each["@odata.type"] == f"#microsoft.graph.{expected.attachment_type}"
        assert each["size"] == expected.size + 237, "the store's size is larger than the file"
        assert each["isInline"] is expected.is_inline
        is_file = expected.attachment_type is AttachmentType.FILE
        assert each["contentType"] == (expected.content_type if is_file else None)
        assert ("contentId" in each) is is_file
        if expected.attachment_type is AttachmentType.REFERENCE:
            async with client.content(message_id, each["id"]) as answer:
                assert answer.status == 405
        else:
            assert digest(await client.download(message_id, each["id"])) == expected.sha256


async def test_without_a_select_the_bytes_come_along(simulator: GraphSimulator, client: Graph) -> None:
    sample = message_with_files(1, files=2, size=500_001)
    message_id = simulator.deliver(MAILBOX, sample)
    path = f"{USER}/messages/{message_id}/attachments"
    listed = (await client.get(path))["value"]
    assert [digest(base64.b64decode(each["contentBytes"])) for each in listed] == [
        each.sha256 for each in sample.expected
    ]
    one = await client.get(f"{path}/{listed[1]['id']}")
    assert one["contentBytes"] == listed[1]["contentBytes"]
    assert "contentBytes" not in (await client.get(f"{path}?$select=id"))["value"][0]


async def test_what_exists_only_on_files_needs_a_cast(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    path = f"{USER}/messages/{message_id}/attachments"
    assert await client.error("GET", f"{path}?$select=id,contentId") == (400, "RequestBroker--ParseUri")
    assert await client.error("GET", f"{path}?$select=id,nonsense") == (400, "RequestBroker--ParseUri")
    picked = (await client.get(f"{path}?$select=microsoft.graph.fileAttachment/contentId&$filter=isInline eq false"))[
        "value"
    ]
    assert picked == [
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "@odata.mediaContentType": "image/png",
            "contentId": "logo@supplier.example",
        }
    ], "the filter is ignored"


async def test_a_list_is_cut_into_pages(simulator: GraphSimulator, client: Graph) -> None:
    sample = message_with_files(2, files=7, size=10)
    message_id = simulator.deliver(MAILBOX, sample)
    simulator.faults.attachments_per_page = 3
    assert [each["name"] for each in await client.attachments(message_id)] == [each.name for each in sample.expected]
    assert sum(call.kind == "attachments" for call in simulator.calls) == 3


async def test_an_inline_pdf_hides_from_has_attachments(simulator: GraphSimulator, client: Graph) -> None:
    pdf = file_part("scan.pdf", "application/pdf", tiny_pdf("Scan"))
    apple = Leaf([pdf.header[0], 'Content-Disposition: inline; filename="scan.pdf"'], pdf.content, pdf.expected)
    message_id = simulator.deliver(MAILBOX, message("apple", "From a phone", [apple]))
    assert (await client.get(f"{USER}/messages/{message_id}"))["hasAttachments"] is False
    assert [each["isInline"] for each in await client.attachments(message_id)] == [True]


async def test_a_message_is_described(simulator: GraphSimulator, client: Graph) -> None:
    received = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    message_id = simulator.deliver(MAILBOX, message_with_message(), received=received)
    shown = await client.get(f"{USER}/messages/{message_id}")
    assert shown["id"] == message_id
    assert shown["subject"] == "Fwd: The original"
    assert shown["receivedDateTime"] == "2026-03-01T08:30:00Z"
    assert shown["internetMessageId"] == "<forwarded@supplier.example>"
    assert shown["from"] == {"emailAddress": {"name": "Ann Sender", "address": "ann@supplier.example"}}
    assert shown["isDeliveryReceiptRequested"] is None
    assert shown["body"]["contentType"] == "html"
    plain = await client.get(f"{USER}/messages/{message_id}?$select=body", 'outlook.body-content-type="text"')
    assert plain["body"] == {"contentType": "text", "content": "Hello.\r\n"}
    assert set(plain) == {"@odata.context", "@odata.etag", "id", "body"}


async def test_a_message_comes_back_as_it_was_sent(simulator: GraphSimulator, client: Graph) -> None:
    sample = message_with_link()
    message_id = simulator.deliver(MAILBOX, sample)
    url = client.url(f"{USER}/messages/{message_id}/$value")
    async with client.session.get(url, headers=client.headers()) as answer:
        assert await answer.read() == sample.to_bytes()


@pytest.mark.parametrize("folder", ["", "/mailFolders/inbox", "/mailFolders('inbox')", "/mailfolders('Inbox')"])
async def test_messages_are_listed_over_pages(folder: str, simulator: GraphSimulator, client: Graph) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(7):
        simulator.deliver(
            MAILBOX, message(f"m{number}", f"Number {number}", []), received=start + timedelta(hours=number)
        )
    path, subjects = f"{USER}{folder}/messages?$select=subject&$top=3", []
    while path:
        page = await client.get(path)
        assert len(page["value"]) <= 3
        subjects += [each["subject"] for each in page["value"]]
        path = page.get("@odata.nextLink", "")
    assert subjects == [f"Number {number}" for number in range(6, -1, -1)]


async def test_messages_are_filtered_and_sorted(simulator: GraphSimulator, client: Graph) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(4):
        simulator.deliver(
            MAILBOX, message(f"m{number}", f"Number {number}", []), received=start + timedelta(days=number)
        )
    since = "$filter=receivedDateTime ge 2026-01-03T00:00:00Z&$orderby=receivedDateTime asc"
    found = await client.get(f"{USER}/messages?{since}&$count=true")
    assert [each["subject"] for each in found["value"]] == ["Number 2", "Number 3"]
    assert found["@odata.count"] == 2
    by_id = await client.get(f"{USER}/messages?$filter=internetMessageId eq '%3Cm1@supplier.example%3E'")
    assert [each["subject"] for each in by_id["value"]] == ["Number 1"]
    inefficient = "$filter=hasAttachments eq false&$orderby=receivedDateTime desc"
    assert await client.error("GET", f"{USER}/messages?{inefficient}") == (400, "InefficientFilter")
    assert await client.error("GET", f"{USER}/messages?$filter=nonsense") == (400, "ErrorInvalidUrlQueryFilter")


async def test_ids_survive_moves_only_where_they_are_immutable(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    before = simulator.mutable_id(MAILBOX, message_id)
    assert before.startswith("AAMk")
    assert message_id.startswith("AAkALgAA")
    assert (await client.get(f"{USER}/messages/{before}", immutable=False))["id"] == before
    assert (await client.get(f"{USER}/messages/{before}"))["id"] == message_id
    assert simulator.move(MAILBOX, message_id, "deleteditems") == message_id
    after = simulator.mutable_id(MAILBOX, message_id)
    assert after != before
    assert await client.error("GET", f"{USER}/messages/{before}") == (404, "ErrorItemNotFound")
    assert (await client.get(f"{USER}/messages/{message_id}"))["id"] == message_id
    assert await client.error("GET", f"{USER}/messages/{message_id.swapcase()}") in [
        (404, "ErrorItemNotFound"),
        (400, "ErrorInvalidIdMalformed"),
    ]
    archived = simulator.move(MAILBOX, message_id, ARCHIVE)
    assert archived != message_id
    assert await client.error("GET", f"{USER}/messages/{message_id}") == (404, "ErrorItemNotFound")


async def test_an_app_that_may_write_moves_messages(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    move = (f"{USER}/messages/{message_id}/move", {"destinationId": "junkemail"})
    assert await client.error("POST", *move) == (403, "ErrorAccessDenied")
    simulator.roles = ("Mail.ReadWrite",)
    status, moved = await client.call("POST", *move)
    assert (status, moved["id"]) == (201, message_id)
    assert len((await client.get(f"{USER}/mailFolders/junkemail/messages"))["value"]) == 1


async def test_ids_are_translated(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    asked = {
        "inputIds": [simulator.mutable_id(MAILBOX, message_id), "AAMkNothing"],
        "sourceIdType": "restId",
        "targetIdType": "restImmutableEntryId",
    }
    status, body = await client.call("POST", f"{USER}/translateExchangeIds", asked)
    assert status == 200
    assert body["value"][0] == {"sourceId": asked["inputIds"][0], "targetId": message_id}
    assert body["value"][1]["errorDetails"]["code"] == "ErrorInvalidIdMalformed"


async def test_delta_tells_of_what_is_there_and_then_of_what_came(simulator: GraphSimulator, client: Graph) -> None:
    for number in range(5):
        simulator.deliver(MAILBOX, message(f"m{number}", f"Number {number}", []))
    path = f"{USER}/mailFolders('inbox')/messages/delta?changeType=created&$select=subject"
    first, following = await _walk(client, path)
    assert sorted(first) == [f"Number {number}" for number in range(5)]
    assert (await _walk(client, following))[0] == []
    gone = simulator.deliver(MAILBOX, message("gone", "Gone", []))
    simulator.deliver(MAILBOX, message("new", "New", []))
    simulator.delete(MAILBOX, gone)
    came, following = await _walk(client, following)
    assert came == ["New"]
    simulator.deliver(MAILBOX, message("junk", "Junk", []), folder="junkemail")
    assert (await _walk(client, following))[0] == []
    simulator.burn(MAILBOX)
    assert await client.error("GET", following) == (410, "SyncStateNotFound")


async def test_delta_without_a_change_type_tells_of_deletions(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message("gone", "Gone", []))
    _, following = await _walk(client, f"{USER}/mailFolders/inbox/messages/delta")
    simulator.delete(MAILBOX, message_id)
    assert (await client.get(following))["value"] == [{"@removed": {"reason": "deleted"}, "id": message_id}]


async def _walk(client: Graph, path: str) -> tuple[list[str], str]:
    subjects: list[str] = []
    while True:
        page = await client.get(path, "odata.maxpagesize=2")
        assert len(page["value"]) <= 2
        subjects += [each["subject"] for each in page["value"]]
        if "@odata.deltaLink" in page:
            return subjects, page["@odata.deltaLink"]
        path = page["@odata.nextLink"]


async def test_mailboxes_that_are_not_there_or_refused(simulator: GraphSimulator, client: Graph) -> None:
    simulator.add_mailbox("boss@example.com", refused=True)
    assert await client.error("GET", "/users/nobody@example.com/messages") == (404, "ErrorInvalidUser")
    assert await client.error("GET", "/users/boss@example.com/messages") == (403, "ErrorAccessDenied")
    assert await client.error("GET", USER) == (403, "ErrorAccessDenied")
    simulator.roles = ("Mail.Read", "User.Read.All")
    user = await client.get(USER)
    assert user["mail"] == MAILBOX
    assert (await client.get(f"/users/{user['id']}/mailFolders/inbox"))["displayName"] == "Inbox"
    assert await client.error("GET", "/users/nobody@example.com") == (404, "Request_ResourceNotFound")


async def test_methods_and_paths_that_are_not_there(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    assert (await client.error("PUT", f"{USER}/messages/{message_id}"))[0] == 405
    assert (await client.error("GET", f"{USER}/calendars"))[0] == 400
    async with client.session.head(client.url(f"{USER}/messages"), headers=client.headers()) as answer:
        assert answer.status == 405


async def test_every_answer_has_its_ids_and_its_date(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults.clock_skew_seconds = 3600
    headers = client.headers() | {"client-request-id": "mine"}
    async with client.session.get(client.url(f"{USER}/messages/AAMkNothing"), headers=headers) as answer:
        inner = (await answer.json())["error"]["innerError"]
        assert answer.headers["client-request-id"] == inner["client-request-id"] == "mine"
        assert answer.headers["request-id"] == inner["request-id"]
        ahead = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < ahead < timedelta(minutes=61)


async def test_without_a_good_token_there_is_nothing(simulator: GraphSimulator, client: Graph) -> None:
    simulator.revoke_tokens()
    async with client.session.get(client.url(f"{USER}/messages"), headers=client.headers()) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert (await answer.json())["error"]["code"] == "InvalidAuthenticationToken"


async def test_the_announced_limits_are_enforced(simulator: GraphSimulator, client: Graph) -> None:
    simulator.limits = Limits(requests=6, concurrent=2)
    simulator.faults.latency_seconds = 0.1
    statuses = [
        status for status, _ in await asyncio.gather(*(client.call("GET", f"{USER}/messages") for _ in range(4)))
    ]
    assert sorted(statuses) == [200, 200, 429, 429]
    assert simulator.peaks.mailboxes[MAILBOX] > 2
    assert simulator.peaks.refused_concurrent == 2
    simulator.faults.latency_seconds = 0
    assert [(await client.call("GET", f"{USER}/messages"))[0] for _ in range(3)] == [200, 200, 429]
    assert simulator.peaks.refused_rate == 1
    async with client.session.get(client.url(f"{USER}/messages"), headers=client.headers()) as answer:
        assert 1 <= int(answer.headers["Retry-After"]) <= 601
        assert (await answer.json())["error"]["code"] == "ApplicationThrottled"


async def test_a_large_file_streams(simulator: GraphSimulator, client: Graph, tmp_path: Path) -> None:
    sample = large_message(30_000_000)
    path = tmp_path / "large.eml"
    with path.open("wb") as target:
        sample.write(target)
    message_id = simulator.deliver(MAILBOX, path)
    path.unlink()
    (attachment,) = await client.attachments(message_id)
    assert digest(await client.download(message_id, attachment["id"])) == sample.expected[0].sha256
    assert simulator.calls[-1].sent_bytes == 30_000_000


async def test_an_empty_file_has_no_bytes(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message("empty", "Empty", [file_part("empty.txt", "text/csv", Given(b""))]))
    (attachment,) = await client.attachments(message_id)
    assert await client.download(message_id, attachment["id"]) == b""


async def test_calls_are_recorded(simulator: GraphSimulator, client: Graph) -> None:
    await client.get(f"{USER}/messages?$top=1")
    (call,) = simulator.calls
    assert (call.method, call.kind, call.route, call.mailbox) == (
        "GET",
        "messages",
        "/users/{mailbox}/messages",
        MAILBOX,
    )
    assert (call.status, call.query, call.prefer) == (200, "$top=1", IMMUTABLE)
    assert call.ended is not None
    assert call.ended >= call.started


async def test_a_refused_mailbox_stays_refused_whatever_happens_in_it(simulator: GraphSimulator, client: Graph) -> None:
    boss = "boss@example.com"
    simulator.add_mailbox(boss, refused=True)
    message_id = simulator.deliver(boss, message_with_picture())
    simulator.add_folder(boss, "Projects")
    simulator.mutable_id(boss, message_id)
    simulator.move(boss, message_id, "archive")
    assert await client.error("GET", f"/users/{boss}/messages") == (403, "ErrorAccessDenied")
    simulator.add_mailbox(boss)
    assert len((await client.get(f"/users/{boss}/messages"))["value"]) == 1


async def test_pages_at_their_ends(simulator: GraphSimulator, client: Graph) -> None:
    for _ in range(4):
        simulator.deliver(MAILBOX, message_with_picture())
    seen = [await client.get(f"{USER}/messages?$select=id&$top=2&$skip={skip}") for skip in (1, 2, 3, 9)]
    assert [(len(page["value"]), "@odata.nextLink" in page) for page in seen] == [
        (2, True),
        (2, False),
        (1, False),
        (0, False),
    ]
    assert (await client.error("GET", f"{USER}/messages?$top={'9' * 5000}"))[0] == 400
