"""Each fault of the Graph simulator, as a bare HTTP client sees it."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from satchel.testing.graph import ALWAYS, Faults, GraphSimulator, chance, next_calls
from satchel.testing.mail import SampleMessage, message, message_with_files, message_with_picture
from tests.contracts.graph_calls import MAILBOX, USER, Graph, graph

SIZE = 2_000_000


@pytest.fixture
async def simulator() -> AsyncIterator[GraphSimulator]:
    async with GraphSimulator(tls=False) as running:
        running.add_mailbox(MAILBOX)
        yield running


@pytest.fixture
async def client(simulator: GraphSimulator) -> AsyncIterator[Graph]:
    async with graph(simulator) as client:
        yield client


@pytest.fixture
def sample() -> SampleMessage:
    return message_with_files(1, files=1, size=SIZE)


@pytest.fixture
async def ids(simulator: GraphSimulator, client: Graph, sample: SampleMessage) -> tuple[str, str]:
    """Of a message and its attachment of 2 MB."""
    message_id = simulator.deliver(MAILBOX, sample)
    (attachment,) = await client.attachments(message_id)
    return message_id, attachment["id"]


async def test_throttling_says_when_to_come_again(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults = Faults(throttle=next_calls(1), throttle_silently=next_calls(1), retry_after_seconds=7)
    answers = []
    for _ in range(3):
        async with client.session.get(client.url(f"{USER}/messages"), headers=client.headers()) as answer:
            code = (await answer.json()).get("error", {}).get("code")
            answers.append((answer.status, answer.headers.get("Retry-After"), code))
    assert answers == [(429, "7", "ApplicationThrottled"), (429, None, "ApplicationThrottled"), (200, None, None)]
    assert simulator.peaks.throttled == 2
    assert simulator.peaks.refused_concurrent == simulator.peaks.refused_rate == 0


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("unavailable", 503, "ServiceUnavailable"),
        ("gateway_timeout", 504, "UnknownError"),
        ("refuse_token", 401, "InvalidAuthenticationToken"),
    ],
)
async def test_refusals(name: str, status: int, code: str, simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults.set(name, {"times": 1})
    assert await client.error("GET", f"{USER}/messages") == (status, code)
    assert simulator.calls[-1].fault == name
    await client.get(f"{USER}/messages")


async def test_a_gateway_in_between_answers_with_a_page(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults.gateway_page = ALWAYS
    async with client.session.get(client.url(f"{USER}/messages"), headers=client.headers()) as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")


async def test_nobody_answers(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults.hang_up = ALWAYS
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get(f"{USER}/messages")


async def test_a_fault_keeps_to_its_calls(simulator: GraphSimulator, client: Graph, ids: tuple[str, str]) -> None:
    simulator.add_mailbox("other@example.com")
    simulator.faults.unavailable = chance(1.0, "messages", mailbox="other@example.com")
    await client.get(f"{USER}/messages")
    await client.get(f"{USER}/messages/{ids[0]}")
    assert await client.error("GET", "/users/other@example.com/messages") == (503, "ServiceUnavailable")


async def test_a_chance_comes_out_as_often_as_it_says(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults.throttle = chance(0.25)
    statuses = [(await client.call("GET", f"{USER}/mailFolders"))[0] for _ in range(200)]
    assert 30 < statuses.count(429) < 70


@pytest.mark.parametrize("after", [0, 1_000_000, None])
async def test_a_body_is_reset(
    after: int | None, simulator: GraphSimulator, client: Graph, ids: tuple[str, str]
) -> None:
    simulator.faults = Faults(reset=next_calls(1, "content"), reset_after_bytes=after)
    with pytest.raises(aiohttp.ClientError):
        await client.download(*ids)
    assert simulator.calls[-1].sent_bytes == after if after is not None else simulator.calls[-1].sent_bytes < SIZE
    assert len(await client.download(*ids)) == SIZE


async def test_a_body_stalls(simulator: GraphSimulator, client: Graph, ids: tuple[str, str]) -> None:
    simulator.faults = Faults(stall=ALWAYS, stall_after_bytes=1000)
    async with client.content(*ids) as answer:
        assert len(await answer.content.readexactly(1000)) == 1000
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readexactly(1), 0.2)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_short_body_ends_in_good_order(
    framing: str, simulator: GraphSimulator, client: Graph, ids: tuple[str, str], sample: SampleMessage
) -> None:
    simulator.faults.set("framing", framing)
    simulator.faults.short, simulator.faults.short_after_bytes = next_calls(1), 123_456
    async with client.content(*ids) as answer:
        assert len(await answer.read()) == 123_456
        assert "Content-Length" not in answer.headers
        assert ("Transfer-Encoding" in answer.headers) is (framing != "close")
    async with client.content(*ids) as answer:
        assert len(await answer.read()) == SIZE
        assert answer.headers.get("Content-Length") == (str(SIZE) if framing == "length" else None)
        assert ("Transfer-Encoding" in answer.headers) is (framing == "chunked")


async def test_a_body_changes_when_it_is_opened_again(
    simulator: GraphSimulator, client: Graph, ids: tuple[str, str]
) -> None:
    right = await client.download(*ids)
    assert await client.download(*ids) == right
    simulator.faults.change_on_reopen = ALWAYS
    other = await client.download(*ids)
    assert len(other) == SIZE
    assert all(a != b for a, b in zip(other[:1000], right[:1000], strict=True))


async def test_large_bodies_time_out(simulator: GraphSimulator, client: Graph, ids: tuple[str, str]) -> None:
    simulator.faults = Faults(timeout_over_bytes=SIZE - 1, timeout_after_seconds=0.05)
    path = f"{USER}/messages/{ids[0]}/attachments/{ids[1]}/$value"
    assert await client.error("GET", path) == (504, "UnknownError")
    simulator.faults.timeout_over_bytes = SIZE
    assert len(await client.download(*ids)) == SIZE


async def test_calls_and_bodies_come_late(simulator: GraphSimulator, client: Graph, ids: tuple[str, str]) -> None:
    simulator.faults = Faults(latency_seconds=0.05, body_latency_seconds=0.1)
    await client.download(*ids)
    call = simulator.calls[-1]
    assert call.ended is not None
    assert call.ended - call.started >= 0.15


async def test_sizes_and_flags_are_not_to_be_trusted(simulator: GraphSimulator, client: Graph) -> None:
    message_id = simulator.deliver(MAILBOX, message_with_picture())
    (before,) = await client.attachments(message_id)
    simulator.faults = Faults(inflated_size_factor=1.5, wrong_inline_flag=ALWAYS)
    (after,) = await client.attachments(message_id)
    assert (after["size"], after["isInline"]) == (int(before["size"] * 1.5), not before["isInline"])


async def test_attachment_ids_change(simulator: GraphSimulator, client: Graph, ids: tuple[str, str]) -> None:
    simulator.faults.change_attachment_ids = next_calls(1)
    (listed,) = await client.attachments(ids[0])
    assert listed["id"] != ids[1]
    path = f"{USER}/messages/{ids[0]}/attachments/{ids[1]}/$value"
    assert await client.error("GET", path) == (404, "ErrorItemNotFound")
    assert len(await client.download(ids[0], listed["id"])) == SIZE


async def test_a_new_message_is_not_found_at_first() -> None:
    now = [1_800_000_000.0]
    async with GraphSimulator(tls=False, faults=Faults(unknown_for_seconds=5), now=lambda: now[0]) as simulator:
        message_id = simulator.deliver(MAILBOX, message("new", "New", []))
        async with graph(simulator) as client:
            assert await client.error("GET", f"{USER}/messages/{message_id}") == (404, "ErrorItemNotFound")
            assert len((await client.get(f"{USER}/messages"))["value"]) == 1
            now[0] += 5
            await client.get(f"{USER}/messages/{message_id}")


async def test_a_placeholder_becomes_the_file(sample: SampleMessage) -> None:
    now = [1_800_000_000.0]
    async with GraphSimulator(tls=False, faults=Faults(placeholder_seconds=60), now=lambda: now[0]) as simulator:
        message_id = simulator.deliver(MAILBOX, sample)
        async with graph(simulator) as client:
            (placeholder,) = await client.attachments(message_id)
            assert placeholder["name"] == "ATP Scan In Progress"
            before = await client.get(f"{USER}/messages/{message_id}")
            assert before["hasAttachments"] is True
            now[0] += 60
            (file,) = await client.attachments(message_id)
            assert file["name"] == sample.expected[0].name
            assert file["id"] != placeholder["id"]
            assert len(await client.download(message_id, file["id"])) == SIZE
            after = await client.get(f"{USER}/messages/{message_id}")
            assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]


async def test_tokens_expire() -> None:
    now = [1_800_000_000.0]
    async with GraphSimulator(tls=False, now=lambda: now[0]) as simulator:
        simulator.add_mailbox(MAILBOX)
        async with graph(simulator) as client:
            await client.get(f"{USER}/messages")
            now[0] += 3599
            assert await client.error("GET", f"{USER}/messages") == (401, "InvalidAuthenticationToken")


async def test_a_delta_token_is_forgotten(simulator: GraphSimulator, client: Graph) -> None:
    link = (await client.get(f"{USER}/mailFolders/inbox/messages/delta"))["@odata.deltaLink"]
    simulator.faults.forget_delta = next_calls(1)
    assert await client.error("GET", link) == (410, "SyncStateNotFound")


async def test_tokens_are_revoked_until_a_new_one_is_fetched(simulator: GraphSimulator, client: Graph) -> None:
    simulator.faults = Faults(revoke_tokens=next_calls(1, "folders"))
    assert (await client.call("GET", f"{USER}/messages"))[0] == 200
    refused = (401, "InvalidAuthenticationToken")
    assert await client.error("GET", f"{USER}/mailFolders") == refused
    assert await client.error("GET", f"{USER}/messages") == refused
    async with graph(simulator) as again:
        assert (await again.call("GET", f"{USER}/mailFolders"))[0] == 200


async def test_tokens_live_as_long_as_they_are_told_to() -> None:
    now = [1_800_000_000.0]
    faults = Faults(token_lifetime_seconds=60)
    async with GraphSimulator(tls=False, now=lambda: now[0], faults=faults) as simulator, graph(simulator) as client:
        simulator.add_mailbox(MAILBOX)
        assert (await client.call("GET", f"{USER}/messages"))[0] == 200
        now[0] += 61
        assert await client.error("GET", f"{USER}/messages") == (401, "InvalidAuthenticationToken")


async def test_clients_that_hang_up_are_no_error(
    simulator: GraphSimulator, client: Graph, ids: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    message_id, attachment_id = ids
    path = f"/v1.0{USER}/messages/{message_id}/attachments/{attachment_id}/$value"
    request = f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode()
    port = int(simulator.base_url.rpartition(":")[2])

    def hang_up() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")

    for _ in range(20):
        await asyncio.to_thread(hang_up)
    while any(call.ended is None for call in simulator.calls):
        await asyncio.sleep(0.01)
    assert simulator.calls[-1].status == 499
    assert not caplog.records
