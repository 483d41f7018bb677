"""One attachment from a gateway into the sink, when its bytes change or the connection breaks on the way."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from satchel.client import NO_RETRIES, AsyncClient, IncompleteBody
from satchel.collector.records import Wanted
from satchel.collector.sinks.local import LocalSink
from satchel.collector.sinks.sink import Provenance, Receipt
from satchel.collector.transfer import transfer
from satchel.testing.faults import Fault, Html, Refuse, Reset, ShortBody
from satchel.testing.gateway import FakeGateway

OLD = bytes(range(256)) * 8192


class ChangingSink(LocalSink):
    """Lets the attachment change behind its id as soon as bytes of it have come."""

    def __init__(self, root: Path, gateway: FakeGateway, new: bytes) -> None:
        super().__init__(root, threads=1)
        self._gateway = gateway
        self._new = new

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], provenance: Provenance, *, expected_bytes: int | None
    ) -> Receipt:
        async def watched() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                self._gateway.replace(provenance.message_id, provenance.attachment_id, self._new)
                yield chunk

        return await super().put(key, watched(), provenance, expected_bytes=expected_bytes)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("new", [b"short", OLD[:-1] + b"!", OLD + b"longer"])
async def test_two_versions_are_never_joined(tmp_path: Path, new: bytes) -> None:
    """A message may change between the break and the continuation; what comes then is another file."""
    async with FakeGateway() as gateway, AsyncClient(gateway.url, "test-key", retry=NO_RETRIES) as client:
        added = gateway.add("m", "a.bin", OLD)
        gateway.fail(ShortBody(1_500_000), call="download")
        wanted = Wanted("m", added.attachment.id, "a.bin", "application/octet-stream", "", "", tries=0)
        sink = ChangingSink(tmp_path / "files", gateway, new)
        try:
            with pytest.raises(IncompleteBody):
                await transfer(client, sink, wanted)
            assert files(tmp_path / "files") == []
            receipt = await transfer(client, sink, wanted)
        finally:
            await sink.aclose()
        assert receipt.sha256 == hashlib.sha256(new).hexdigest()
        assert (tmp_path / "files" / receipt.key).read_bytes() == new


async def test_breaks_are_continued_within_one_attempt(tmp_path: Path) -> None:
    async with FakeGateway() as gateway, AsyncClient(gateway.url, "test-key", retry=NO_RETRIES) as client:
        added = gateway.add("m", "a.bin", OLD)
        gateway.fail(Reset(700_000), times=2, call="download")
        wanted = Wanted("m", added.attachment.id, "a.bin", "application/octet-stream", "", "", tries=0)
        sink = LocalSink(tmp_path / "files", threads=1)
        try:
            receipt = await transfer(client, sink, wanted)
        finally:
            await sink.aclose()
        assert (tmp_path / "files" / receipt.key).read_bytes() == OLD
        starts = [call.range for call in gateway.calls]
        assert starts[0] is None
        assert None not in starts[1:]


@pytest.mark.parametrize("fault", [Html(), Refuse(416)])
async def test_a_continuation_that_is_refused_is_a_break(tmp_path: Path, fault: Fault) -> None:
    async with FakeGateway() as gateway, AsyncClient(gateway.url, "test-key", retry=NO_RETRIES) as client:
        added = gateway.add("m", "a.bin", OLD)
        gateway.fail(ShortBody(700_000), times=1, call="download")
        gateway.fail(fault, times=1, call="download")
        wanted = Wanted("m", added.attachment.id, "a.bin", "application/octet-stream", "", "", tries=0)
        sink = LocalSink(tmp_path / "files", threads=1)
        try:
            with pytest.raises(IncompleteBody):
                await transfer(client, sink, wanted)
        finally:
            await sink.aclose()
        assert len(gateway.calls) == 2
