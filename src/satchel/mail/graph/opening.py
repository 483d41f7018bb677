"""Opens the body of an attachment at an offset. Graph promises no ranges, so a part is believed only where the answer
says which part it is."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from satchel.contract.ranges import parse_content_range
from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.source import AttachmentNotFound, NotDownloadable, SourceError, SourceUnavailable

RANGE_NOT_SATISFIABLE = 416
_PARTIAL = 206


class RangeRefused(SourceError):
    """The server has no such range, or knows none: 416."""


class Body(Protocol):
    """An answer with its body still to come."""

    @property
    def status(self) -> int: ...

    @property
    def length(self) -> int | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Bodies(Protocol):
    """Where bodies come from."""

    async def stream(self, path: str, *, mailbox: str | None, headers: Mapping[str, str] | None = None) -> Body:
        """Raises GraphRefusal, or SourceError where that is known better; RangeRefused for 416."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedBody:
    """A body whose first byte stands at `position` of the file; `size` is the whole file's, where it was told."""

    body: Body
    position: int
    size: int | None


def range_from(start: int) -> dict[str, str]:
    """The header that asks for all from a byte on."""
    return {"Range": f"bytes={start}-"}


class BodyOpener:
    """Opens the bodies of one attachment.

    Each is asked for as a range to the end, also from the first byte: a server that knows ranges so tells the file's
    size where it would send none otherwise, and one that knows none sends the whole.
    """

    def __init__(self, http: Bodies, path: str, mailbox: str) -> None:
        self._http = http
        self._path = path
        self._mailbox = mailbox
        self._asks_for_ranges = True

    async def open(self, start: int) -> OpenedBody:
        """A body that begins at `start` or before. Raises SourceError."""
        if self._asks_for_ranges:
            opened = await self._open_range(start)
            if opened is not None:
                return opened
            self._asks_for_ranges = False
        try:
            body = await self._http.stream(self._path, mailbox=self._mailbox)
        except GraphRefusal as refusal:
            raise _source_error(refusal) from None
        if body.status == _PARTIAL:
            await body.aclose()
            raise SourceUnavailable("The mail server gave a part where the whole was asked for.", upstream_status=502)
        return OpenedBody(body, 0, body.length)

    async def _open_range(self, start: int) -> OpenedBody | None:
        """None where the server answers a range in a way that cannot be used."""
        try:
            body = await self._http.stream(self._path, mailbox=self._mailbox, headers=range_from(start))
        except RangeRefused:
            # Also of an empty file, which has no byte to begin with.
            return None
        except GraphRefusal as refusal:
            if refusal.status == RANGE_NOT_SATISFIABLE:
                return None
            raise _source_error(refusal) from None
        if body.status != _PARTIAL:
            return OpenedBody(body, 0, body.length)
        part, size = parse_content_range(body.headers.get("Content-Range"))
        if part is not None and part.start == start and part.stop == size and body.length in {None, part.length}:
            return OpenedBody(body, start, size)
        await body.aclose()
        return None


def _source_error(refusal: GraphRefusal) -> SourceError:
    if refusal.status == 404:
        return AttachmentNotFound("The mail server has no such attachment.")
    if refusal.status == 405:
        return NotDownloadable("The mail server gives no bytes for this kind of attachment.")
    return SourceUnavailable(
        "The mail server refused the attachment's bytes.",
        retry_after_seconds=refusal.retry_after_seconds,
        upstream_status=refusal.status,
    )
