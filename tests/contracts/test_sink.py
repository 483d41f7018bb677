"""What every sink promises; an adapter joins by a factory in `SINKS`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from satchel.collector.naming import storage_key
from satchel.collector.sinks.local import LocalSink
from satchel.collector.sinks.sink import BodyMismatch, KeyRefused, Provenance, Receipt, Sink

PROVENANCE = Provenance(
    message_id="m",
    attachment_id="a",
    mailbox="invoices@example.test",
    received="2026-01-01T00:00:00Z",
    name="../invoice\x00\r\n.pdf",
    content_type="application/pdf",
)
KEY = storage_key("m", "a", "invoice.pdf")


class Local:
    """The local disk, looked at from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> Sink:
        return LocalSink(self.folder, threads=2)

    def read(self, key: str) -> bytes | None:
        path = self.folder / key
        return path.read_bytes() if path.exists() else None

    def leftovers(self) -> int:
        return len(list((self.folder / ".incoming").iterdir()))


SINKS: dict[str, Callable[[Path], Local]] = {"local": Local}


@pytest.fixture(params=sorted(SINKS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Local:
    return SINKS[request.param](tmp_path / "files")


@asynccontextmanager
async def opened(place: Local) -> AsyncIterator[Sink]:
    sink = place.open()
    try:
        yield sink
    finally:
        await sink.aclose()


async def pieces(*parts: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part
    if error is not None:
        raise error


async def put(sink: Sink, *parts: bytes, key: str = KEY, expected: int | None = None) -> Receipt:
    return await sink.put(key, pieces(*parts), PROVENANCE, expected_bytes=expected)


@pytest.mark.parametrize(
    "parts",
    [(), (b"",), (b"abc",), (b"a" * 700_000, b"b" * 700_000, b"c"), (b"x" * 1_048_576,), (b"y" * 3_000_000,)],
    ids=["none", "empty", "small", "large", "one MiB", "one large piece"],
)
async def test_stores_what_came(place: Local, parts: tuple[bytes, ...]) -> None:
    whole = b"".join(parts)
    async with opened(place) as sink:
        receipt = await put(sink, *parts, expected=len(whole))
    assert receipt == Receipt(KEY, len(whole), hashlib.sha256(whole).hexdigest(), existed=False)
    assert place.read(KEY) == whole
    assert place.leftovers() == 0


@pytest.mark.parametrize("second", [b"other", b"other" * 500_000], ids=["small", "large"])
async def test_what_is_there_stays(place: Local, second: bytes) -> None:
    async with opened(place) as sink:
        first = await put(sink, b"first")
        again = await put(sink, second)
    assert (again.size, again.sha256, again.existed) == (first.size, first.sha256, True)
    assert place.read(KEY) == b"first"


async def test_of_two_at_once_one_stores(place: Local) -> None:
    async with opened(place) as sink:
        receipts = await asyncio.gather(*(put(sink, b"%d" % number) for number in range(8)))
    assert sorted(receipt.existed for receipt in receipts) == [False] + [True] * 7
    assert len({receipt.sha256 for receipt in receipts}) == 1


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("difference", [-1, 1])
async def test_another_size_than_announced_is_not_stored(place: Local, size: int, difference: int) -> None:
    async with opened(place) as sink:
        with pytest.raises(BodyMismatch) as caught:
            await put(sink, b"x" * (size // 2), b"x" * (size - size // 2), expected=size + difference)
    assert caught.value.transient
    assert place.read(KEY) is None
    assert place.leftovers() == 0


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_an_error_of_the_chunks_passes_and_leaves_nothing(place: Local, size: int) -> None:
    async with opened(place) as sink:
        with pytest.raises(LookupError):
            await sink.put(KEY, pieces(b"x" * size, error=LookupError()), PROVENANCE, expected_bytes=None)
        assert place.read(KEY) is None
        assert place.leftovers() == 0
        assert not (await put(sink, b"x")).existed


async def test_a_cancelled_put_leaves_nothing(place: Local) -> None:
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        waiting.set()
        await asyncio.Event().wait()

    async with opened(place) as sink:
        task = asyncio.create_task(sink.put(KEY, endless(), PROVENANCE, expected_bytes=None))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert place.read(KEY) is None
    assert place.leftovers() == 0


@pytest.mark.parametrize(
    "key", ["../a/b", "/etc/passwd", "a/../b", "a", "a/b/c", ".incoming/x", "a/.x", "A/b", "a/b\0"]
)
async def test_a_key_that_could_leave_the_place_is_refused(place: Local, key: str) -> None:
    async with opened(place) as sink:
        with pytest.raises(KeyRefused):
            await put(sink, b"x", key=key)


async def test_the_sweep_spares_what_is_being_written(place: Local) -> None:
    more = asyncio.Event()
    written = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        written.set()
        await more.wait()
        yield b"y"

    async with opened(place) as sink:
        task = asyncio.create_task(sink.put(KEY, slowly(), PROVENANCE, expected_bytes=None))
        await written.wait()
        assert await sink.sweep() == 0
        more.set()
        assert (await task).size == 2_000_001
