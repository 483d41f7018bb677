"""A download into a file: resumed after breaks, its size checked, its digest taken on the way."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from satchel.client.errors import ClientError, IncompleteBody, SizeMismatch, UnexpectedAnswer
from satchel.client.partfile import PartFile
from satchel.client.stream import AttachmentStream, StreamHead
from satchel.contract.errors import ApiError

# An attempt that resumed and got this much further is progress, and the count of attempts begins anew.
_PROGRESS_BYTES = 1024 * 1024

OnProgress = Callable[[int, int | None], None]
OpenOnce = Callable[[int, str | None], AbstractAsyncContextManager[AttachmentStream]]
BeforeRetry = Callable[[ApiError | ClientError, int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is whole and on disk. `resumed` counts the continuations, `restarted` the beginnings from zero."""

    path: Path
    size: int
    sha256: str
    content_type: str
    filename: str | None
    resumed: int
    restarted: int


async def download(
    open_once: OpenOnce,
    path: Path,
    *,
    expected_size: int | None,
    overwrite: bool,
    on_progress: OnProgress | None,
    before_retry: BeforeRetry,
) -> Downloaded:
    """See `AsyncClient.download`."""
    async with PartFile(path, overwrite=overwrite) as part:
        transfer = _Transfer(open_once, part, expected_size, on_progress)
        head = await transfer.run(before_retry)
        if expected_size is not None and part.size != expected_size:
            raise SizeMismatch(f"The attachment has {part.size} bytes, not the {expected_size} expected.")
        return Downloaded(
            path=path,
            size=part.size,
            sha256=await part.finish(),
            content_type=head.content_type,
            filename=head.filename,
            resumed=transfer.resumed,
            restarted=transfer.restarted,
        )


class _Transfer:
    def __init__(
        self, open_once: OpenOnce, part: PartFile, expected_size: int | None, on_progress: OnProgress | None
    ) -> None:
        self._open_once = open_once
        self._part = part
        self._expected_size = expected_size
        self._on_progress = on_progress
        self._etag: str | None = None
        """The validator of the bytes in the part file; None where they cannot be continued."""
        self.resumed = 0
        self.restarted = 0

    async def run(self, before_retry: BeforeRetry) -> StreamHead:
        """Attempt until the body is complete. Raises what the last attempt raised."""
        attempt = 1
        while True:
            resumed, had = self.resumed, self._part.size
            try:
                return await self._attempt()
            except (ApiError, ClientError) as failure:
                if self.resumed > resumed and self._part.size - had >= _PROGRESS_BYTES:
                    attempt = 1
                if self._range_refused(failure):
                    self._etag = None
                elif not await before_retry(failure, attempt):
                    raise
            attempt += 1

    async def _attempt(self) -> StreamHead:
        start = self._part.size if self._etag is not None else 0
        async with self._open_once(start, self._etag if start else None) as stream:
            await self._align(stream.head)
            async for piece in stream:
                await self._part.write(piece)
                self._refuse_excess()
                if self._on_progress is not None:
                    self._on_progress(self._part.size, stream.size)
            if stream.size is not None and self._part.size != stream.size:
                raise IncompleteBody(
                    f"The file has {self._part.size} of {stream.size} bytes after the last range.",
                    received_bytes=self._part.size,
                    expected_bytes=stream.size,
                )
            return stream.head

    async def _align(self, head: StreamHead) -> None:
        """Make the part file end where the body begins; refuse a size that cannot be the expected one at once."""
        if self._expected_size is not None and head.size not in {None, self._expected_size}:
            raise SizeMismatch(f"The attachment has {head.size} bytes, not the {self._expected_size} expected.")
        if head.start > 0:
            self.resumed += 1
        elif self._part.size > 0:
            self.restarted += 1
            await self._part.restart()
        self._etag = head.etag

    def _refuse_excess(self) -> None:
        """An endless body must not fill the disk when the caller knows better."""
        if self._expected_size is not None and self._part.size > self._expected_size:
            raise SizeMismatch(f"The attachment has more than the {self._expected_size} bytes expected.")

    def _range_refused(self, failure: ApiError | ClientError) -> bool:
        """Whether only the continuation failed (416, or a range that does not fit): the whole may still come."""
        if self._etag is None or self._part.size == 0:
            return False
        return (isinstance(failure, ApiError) and failure.status == 416) or isinstance(failure, UnexpectedAnswer)
