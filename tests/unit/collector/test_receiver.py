"""The webhook receiver, driven over ASGI."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message

from satchel.collector.receiver import ReceiverOptions, build_receiver
from satchel.collector.records import Accepted, Event, Progress

SECRET = "sécret-of-16-characters"
EVENT = {
    "id": "m",
    "event": "received",
    "mailbox": "invoices@example.test",
    "received": "2026-01-01T00:00:00Z",
    "sender": {"emailAddress": {"name": "Boss", "address": "boss@example.test"}},
    "hasAttachments": True,
    "somethingNew": [1],
}


class FakeIntake:
    """Remembers what was taken in."""

    def __init__(self) -> None:
        self.accepted: list[Event] = []
        self.overloaded = False
        self.ready = True
        self.progress = Progress(done=True, stored=2, skipped=1, failed=0)

    async def accept(self, event: Event, *, max_pending: int) -> Accepted:
        if not self.overloaded:
            self.accepted.append(event)
        return Accepted(overloaded=self.overloaded)

    async def wait(self, message_id: str, *, timeout_seconds: float) -> Progress:
        return self.progress

    async def answers(self) -> bool:
        return self.ready


class Wire:
    """One receiver; `post` gives back status, headers, the answer, and how many body chunks were taken."""

    def __init__(self, *, secrets: tuple[str, ...] = (SECRET,), inline: bool = False, trust: bool = True) -> None:
        self.intake = FakeIntake()
        options = ReceiverOptions(
            path="/webhook",
            secrets=secrets,
            max_event_bytes=2000,
            max_pending_events=5,
            trust_has_attachments=trust,
            inline_timeout_seconds=1.0 if inline else None,
        )
        self.app = build_receiver(self.intake, options)
        self.taken = 0

    async def post(
        self,
        body: bytes | Iterable[bytes] = json.dumps(EVENT).encode(),
        *,
        authorization: str | None = f"Bearer {SECRET}",
        headers: Iterable[tuple[bytes, bytes]] = (),
        method: str = "POST",
        path: str = "/webhook",
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        chunks = iter([body] if isinstance(body, bytes) else body)
        sent: list[Message] = []

        async def receive() -> Message:
            self.taken += 1
            chunk = next(chunks, None)
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(message: Message) -> None:
            sent.append(message)

        authorized = [(b"authorization", authorization.encode())] if authorization is not None else []
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*authorized, *headers],
        }
        await self.app(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), answer


async def test_an_event_is_taken_in() -> None:
    wire = Wire()
    status, headers, answer = await wire.post()
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert json.loads(answer) == {"status": "success", "message": "Accepted."}
    assert wire.intake.accepted == [Event("m", "invoices@example.test", "boss@example.test", "2026-01-01T00:00:00Z")]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}x", "Bearer \u2028"],
)
async def test_a_wrong_secret_is_401_before_anything_is_read(authorization: str | None) -> None:
    wire = Wire()
    status, _, answer = await wire.post(b"{", authorization=authorization)
    assert (status, answer, wire.taken) == (401, b"", 0)
    assert wire.intake.accepted == []


async def test_the_scheme_has_no_case() -> None:
    assert (await Wire().post(authorization=f"bearer {SECRET}"))[0] == 200


async def test_without_a_secret_everybody_is_believed() -> None:
    assert (await Wire(secrets=()).post(authorization=None))[0] == 200


async def test_either_of_two_secrets_is_accepted_while_one_is_changed() -> None:
    wire = Wire(secrets=(SECRET, "the-next-of-16-characters"))
    for secret, status in ((SECRET, 200), ("the-next-of-16-characters", 200), ("another-of-16-characters", 401)):
        assert (await wire.post(authorization=f"Bearer {secret}"))[0] == status


async def test_both_secrets_are_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, secret: bytes) -> bool:
        compared.append(secret)
        return given == secret

    monkeypatch.setattr("satchel.collector.receiver.hmac.compare_digest", compare)
    for secret in ("one", "two", "three"):
        compared.clear()
        await Wire(secrets=("one", "two")).post(authorization=f"Bearer {secret}")
        assert compared == [b"one", b"two"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"null",
        b'{"id": "", "event": "received"}',
        b'{"id": 7, "event": "received"}',
        b'{"id": "m"}',
        b'{"id": "m", "event": "received", "hasAttachments": "yes"}',
        b"[" * 1900,
        b'{"id": "m", "event": "received", "new": ' + b"[" * 1900,
    ],
)
async def test_what_is_no_event_is_400_in_the_envelope(body: bytes) -> None:
    wire = Wire()
    status, _, answer = await wire.post(body)
    assert (status, json.loads(answer)["status"]) == (400, "error")
    assert wire.intake.accepted == []


async def test_an_announced_100_mb_is_not_read() -> None:
    wire = Wire()
    status, _, answer = await wire.post(headers=[(b"content-length", b"104857600")])
    assert (status, json.loads(answer)["status"], wire.taken) == (413, "error", 0)


async def test_an_unannounced_100_mb_is_read_up_to_the_bound() -> None:
    wire = Wire()
    status, _, _ = await wire.post(b"x" * 500 for _ in range(200_000))
    assert (status, wire.taken) == (413, 5)


@pytest.mark.parametrize("length", [b"-1", b"9" * 5000, b"1e9", "٣".encode()])
async def test_an_odd_length_is_refused(length: bytes) -> None:
    assert (await Wire().post(headers=[(b"content-length", length)]))[0] == 413


@pytest.mark.parametrize("change", [{"event": "replied"}, {"event": ""}, {"hasAttachments": False}])
async def test_there_is_nothing_to_download(change: dict[str, Any]) -> None:
    wire = Wire()
    status, _, answer = await wire.post(json.dumps({**EVENT, **change}).encode())
    assert (status, json.loads(answer)) == (200, {"status": "success", "message": "Nothing to download."})
    assert wire.intake.accepted == []


async def test_has_attachments_need_not_be_believed() -> None:
    wire = Wire(trust=False)
    await wire.post(json.dumps({**EVENT, "hasAttachments": False}).encode())
    assert len(wire.intake.accepted) == 1


async def test_the_least_event_is_enough() -> None:
    wire = Wire()
    assert (await wire.post(b'{"id": "m", "event": "received"}'))[0] == 200
    assert wire.intake.accepted == [Event("m", "", "", "")]


@pytest.mark.parametrize(
    "sender", [None, {}, {"emailAddress": None}, {"emailAddress": {"name": None, "address": None}}]
)
async def test_what_is_null_is_as_if_left_out(sender: Any) -> None:
    """400 is final for the sender: a message without a sender, as bounces are, would be lost."""
    wire = Wire()
    body = {**EVENT, "sender": sender, "mailbox": None, "received": None, "hasAttachments": None}
    assert (await wire.post(json.dumps(body).encode()))[0] == 200
    assert wire.intake.accepted == [Event("m", "", "", "")]


async def test_overloaded() -> None:
    wire = Wire()
    wire.intake.overloaded = True
    status, headers, answer = await wire.post()
    assert (status, headers[b"retry-after"], json.loads(answer)["status"]) == (429, b"10", "error")


@pytest.mark.parametrize(
    ("progress", "status", "said"),
    [
        (Progress(done=True, stored=2, skipped=1, failed=0), 200, "success"),
        (Progress(done=True, stored=1, skipped=1, failed=1), 200, "error"),
        (Progress(done=False, stored=1, skipped=0, failed=0), 503, "error"),
    ],
)
async def test_inline_mode_says_what_happened(progress: Progress, status: int, said: str) -> None:
    wire = Wire(inline=True)
    wire.intake.progress = progress
    answered, _, answer = await wire.post()
    assert (answered, json.loads(answer)["status"]) == (status, said)


async def test_health() -> None:
    wire = Wire()
    assert (await wire.post(method="GET", path="/healthz", authorization=None))[0] == 200
    assert (await wire.post(method="GET", path="/readyz", authorization=None))[0] == 200
    wire.intake.ready = False
    assert (await wire.post(method="GET", path="/healthz", authorization=None))[0] == 200
    assert (await wire.post(method="GET", path="/readyz", authorization=None))[0] == 503
    assert (await wire.post(method="GET"))[0] == 405
    assert (await wire.post(path="/other"))[0] == 404
