"""The collector as a process against a gateway, a sender and a disk that misbehave."""

import asyncio
import hashlib
import json
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from satchel.collector.ledger import open_ledger
from satchel.collector.listing import entries, retry
from satchel.testing.faults import Html, LongBody, NoAnswer, Refuse, Reset, ShortBody
from satchel.testing.gateway import FakeGateway
from tests.e2e.collector_process import SECRET, CollectorProcess, event_body

BODY = bytes(range(256)) * 4096


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    process = CollectorProcess(tmp_path, "")
    yield process
    process.end(signal.SIGKILL)


async def started(collector: CollectorProcess, gateway: FakeGateway) -> None:
    collector.gateway_url = gateway.url
    await asyncio.to_thread(collector.start)


async def collected(collector: CollectorProcess, *messages: str) -> dict[str, tuple[str, str | None]]:
    """Announce the messages and wait; name → status and reason."""
    for message in messages:
        assert (await asyncio.to_thread(collector.announce, message))[0] == 200
    await asyncio.to_thread(collector.until_settled, len(messages))
    rows = collector.rows("SELECT name, status, reason FROM attachments")
    return {name: (status, reason) for name, status, reason in rows}


async def test_whatever_the_gateway_does_the_files_come_once_and_whole(collector: CollectorProcess) -> None:
    transient = {
        "short.bin": ShortBody(300_000),
        "reset.bin": Reset(300_000),
        "nothing.bin": NoAnswer(),
        "busy.bin": Refuse(503),
        "limited.bin": Refuse(429, retry_after="0"),
        "long.bin": LongBody(10),
        "whole.bin": None,
    }
    collector.settings = {"retry.max_attempts": 6}
    async with FakeGateway() as gateway:
        for number, (name, fault) in enumerate(transient.items()):
            added = gateway.add(f"m{number}", name, BODY + name.encode())
            if fault is not None:
                gateway.fail(fault, times=2, attachment_id=added.attachment.id)
        portal = gateway.add("portal", "portal.pdf", b"x")
        gateway.fail(Html(), times=None, attachment_id=portal.attachment.id)
        gone = gateway.add("gone", "gone.pdf", b"x")
        gateway.fail(Refuse(404, reason="not_found"), times=None, attachment_id=gone.attachment.id)
        await started(collector, gateway)
        found = await collected(collector, *(f"m{n}" for n in range(len(transient))), "portal", "gone")
    assert found == {
        **dict.fromkeys(transient, ("stored", None)),
        "portal.pdf": ("failed", "unexpected_answer"),
        "gone.pdf": ("failed", "not_found"),
    }
    expected = {hashlib.sha256(BODY + name.encode()).hexdigest() for name in transient}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in collector.stored()} == expected
    assert collector.temporaries() == []


async def test_without_ranges_and_validators_it_begins_anew(collector: CollectorProcess) -> None:
    async with FakeGateway() as gateway:
        gateway.behaviour.ranges = gateway.behaviour.etags = False
        added = gateway.add("m", "a.bin", BODY)
        gateway.fail(ShortBody(300_000), times=2, attachment_id=added.attachment.id)
        await started(collector, gateway)
        assert await collected(collector, "m") == {"a.bin": ("stored", None)}
        assert gateway.count("download") == 3
    [path] = collector.stored()
    assert path.read_bytes() == BODY


async def test_hostile_names_stay_in_the_ledger(collector: CollectorProcess) -> None:
    names = ["../../up.pdf", "/etc/passwd", "a\0b.pdf", "a\r\nb: c.pdf", "\u202egnp.exe", "x" * 4000, ".bashrc", ""]
    async with FakeGateway() as gateway:
        for name in names:
            gateway.add("m", name, name.encode())
        await started(collector, gateway)
        found = await collected(collector, "m")
    assert found == dict.fromkeys(names, ("stored", None))
    assert len(collector.stored()) == len(names)
    everything = {path.relative_to(collector.folder).parts[0] for path in collector.folder.rglob("*")}
    assert everything == {"satchel.toml", "collector.log", "data", "files"}
    said = collector.log()
    assert not [name for name in names if len(name) > 2 and (name in said or json.dumps(name)[1:-1] in said)]


async def test_a_second_delivery_fetches_nothing_again(collector: CollectorProcess) -> None:
    async with FakeGateway() as gateway:
        gateway.add("m", "a.bin", BODY)
        await started(collector, gateway)
        await collected(collector, "m")
        await collected(collector, "m")
        await asyncio.to_thread(collector.end, signal.SIGTERM)
        await asyncio.to_thread(collector.start)
        await collected(collector, "m")
        assert (gateway.count("list"), gateway.count("download")) == (1, 1)


async def test_a_file_that_the_ledger_does_not_know_of_yet_is_not_written_again(collector: CollectorProcess) -> None:
    """As after a kill between the link and the ledger."""
    async with FakeGateway() as gateway:
        gateway.add("m", "a.bin", BODY)
        await started(collector, gateway)
        await collected(collector, "m")
        await asyncio.to_thread(collector.end, signal.SIGTERM)
        [path] = collector.stored()
        before = path.stat()
        (collector.folder / "data/ledger.sqlite").unlink()
        (collector.folder / "data/durable.sqlite").unlink()
        await asyncio.to_thread(collector.start)
        assert await collected(collector, "m") == {"a.bin": ("stored", None)}
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert collector.rows("SELECT sha256 FROM attachments") == [(hashlib.sha256(BODY).hexdigest(),)]


async def test_what_failed_is_asked_again_beside_the_running_collector(collector: CollectorProcess) -> None:
    collector.settings = {"retry.max_attempts": 1}
    async with FakeGateway() as gateway:
        gateway.add("m", "a.bin", BODY)
        gateway.fail(Refuse(404), times=1, call="list")
        gateway.fail(Refuse(404), times=1, call="download")
        await started(collector, gateway)
        await collected(collector, "m")
        engine = open_ledger(collector.folder / "data")
        for status in ("failed", "failed", "stored"):
            await asyncio.to_thread(collector.until_settled, 1)
            assert [entry.status for entry in entries(engine)] == [status]
            assert retry(engine, now_ms=0) == (status == "failed")
        engine.dispose()


async def test_a_full_disk_is_waited_for(collector: CollectorProcess) -> None:
    """A limit on file sizes stands for the disk: both refuse a write half-way."""
    async with FakeGateway() as gateway:
        big, small = gateway.add("m", "big.bin", BODY * 20), gateway.add("m", "small.bin", b"small")
        await started(collector, gateway)
        assert collector.process is not None
        limits = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (10_000_000, resource.RLIM_INFINITY))
        assert (await asyncio.to_thread(collector.announce, "m"))[0] == 200
        while '"disk_full"' not in collector.log():
            await asyncio.sleep(0.05)
        assert [path for path in collector.stored() if path.stat().st_size > 5] == []
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, limits)
        await asyncio.to_thread(collector.until_settled, 1)
    digests = {digest for (digest,) in collector.rows("SELECT sha256 FROM attachments")}
    assert digests == {big.sha256, small.sha256}
    assert collector.temporaries() == []


async def test_inline_mode_answers_after_the_files_are_stored(collector: CollectorProcess) -> None:
    collector.settings = {"mode": "inline"}
    async with FakeGateway() as gateway:
        gateway.add("m", "a.bin", BODY)
        gone = gateway.add("n", "b.bin", BODY)
        gateway.fail(Refuse(404), times=None, attachment_id=gone.attachment.id)
        await started(collector, gateway)
        status, body = await asyncio.to_thread(collector.announce, "m")
        assert (status, json.loads(body)["status"], len(collector.stored())) == (200, "success", 1)
        status, body = await asyncio.to_thread(collector.announce, "n")
        assert (status, json.loads(body)["status"]) == (200, "error")


async def test_bad_webhooks(collector: CollectorProcess) -> None:
    async with FakeGateway() as gateway:
        await started(collector, gateway)
        assert await asyncio.to_thread(collector.post, event_body("m"), secret="wrong") == (401, b"")
        assert (await asyncio.to_thread(collector.post, b"<html>"))[0] == 400
        assert await asyncio.to_thread(_huge, collector.port) == 413
        assert (await asyncio.to_thread(collector.post, event_body("m", hasAttachments=False)))[0] == 200
        assert collector.rows("SELECT count(*) FROM events") == [(0,)]


def _huge(port: int) -> int:
    """Announce 100 MB and send some: the answer comes without the rest."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = (
            f"POST /webhook HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 104857600\r\n\r\n"
        )
        connection.sendall(head.encode() + b"{" * 1000)
        return int(connection.recv(1000).split(b" ")[1])
