"""An open download: what its headers say, and its bytes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from satchel.client.errors import UnexpectedAnswer
from satchel.client.transport import Answer
from satchel.contract.headers import parse_content_disposition
from satchel.contract.ranges import parse_content_range, unquote_etag


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What a download's headers say.

    `filename` is foreign: pass it through `safe_file_name` before it becomes a path. `length` is the number of bytes
    that follow, `size` that of the whole attachment. `start` is the offset of the first byte: 0 also where the server
    sends the whole although a range was asked. `etag` is a strong validator without quotes.
    """

    content_type: str
    filename: str | None
    length: int | None
    start: int
    size: int | None
    etag: str | None


class Described:
    """The head's fields, for the asynchronous and the blocking stream alike."""

    def __init__(self, head: StreamHead) -> None:
        self.head = head

    @property
    def content_type(self) -> str:
        return self.head.content_type

    @property
    def filename(self) -> str | None:
        return self.head.filename

    @property
    def length(self) -> int | None:
        return self.head.length

    @property
    def start(self) -> int:
        return self.head.start

    @property
    def size(self) -> int | None:
        return self.head.size

    @property
    def etag(self) -> str | None:
        return self.head.etag


class AttachmentStream(Described):
    """An open download; iterate over it once. Iteration raises IncompleteBody where the body ends early."""

    def __init__(self, head: StreamHead, pieces: AsyncIterator[bytes]) -> None:
        super().__init__(head)
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)


def read_head(answer: Answer, *, asked_start: int) -> StreamHead:
    """Check the headers of a 200 or 206. Raises UnexpectedAnswer where it is no attachment, or not the range asked."""
    content_type = answer.header("Content-Type") or "application/octet-stream"
    disposition = answer.header("Content-Disposition")
    if disposition is None and content_type.lower().startswith("text/html"):
        raise _unexpected(answer, "is an HTML page. Does the base URL lead to the API, or to a portal or a proxy?")
    if (answer.header("Content-Encoding") or "identity").lower() != "identity":
        raise _unexpected(answer, "is compressed although that was not asked. A proxy on the way does that.")
    if not answer.end_is_known:
        raise _unexpected(answer, "has no length, so a broken transfer would look whole. Check the proxies on the way.")
    start, size = (0, answer.length) if answer.status == 200 else _partial(answer, asked_start)
    return StreamHead(
        content_type=content_type,
        filename=parse_content_disposition(disposition),
        length=answer.length,
        start=start,
        size=size,
        etag=unquote_etag(answer.header("ETag")),
    )


def _partial(answer: Answer, asked_start: int) -> tuple[int, int | None]:
    sent, size = parse_content_range(answer.header("Content-Range"))
    if sent is None or not asked_start or sent.start != asked_start:
        raise _unexpected(answer, "is not the range that was asked for.")
    if answer.length not in {None, sent.length} or (size is not None and sent.stop != size):
        raise _unexpected(answer, "is a range that contradicts its own length.")
    return sent.start, size


def _unexpected(answer: Answer, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"The answer (HTTP {answer.status}) {what}", status=answer.status)
