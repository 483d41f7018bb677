"""Messages in temporary files, and what the reader makes of them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime import (
    Bounds,
    Encoding,
    FoundAttachment,
    MessageStructure,
    decode,
    measure,
    read_structure,
)


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    """A file descriptor of a file that holds `content`."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def structure(message: bytes, bounds: Bounds | None = None) -> MessageStructure:
    with opened(message) as fd:
        return read_structure(fd, 0, len(message), bounds or Bounds())


def found(message: bytes) -> list[FoundAttachment]:
    return list(structure(message).attachments)


def contents(message: bytes) -> list[bytes]:
    """The decoded bytes of every attachment; each is measured too, and must have the size it was measured with."""
    with opened(message) as fd:
        return [content(fd, each) for each in read_structure(fd, 0, os.fstat(fd).st_size).attachments]


def content(fd: int, attachment: FoundAttachment) -> bytes:
    index = measure(fd, attachment)
    data = b"".join(decode(fd, attachment, index))
    assert len(data) == index.total
    return data


def whole_file(encoding: Encoding, length: int) -> FoundAttachment:
    """An attachment whose encoded body is the first `length` bytes of a file."""
    return FoundAttachment(
        path="1",
        name="x",
        content_type="application/octet-stream",
        kind=AttachmentType.FILE,
        encoding=encoding,
        start=0,
        stop=length,
        content_id=None,
        is_inline=False,
        fingerprint=b"",
    )


def decoded(encoding: Encoding, body: bytes) -> bytes:
    """`body` decoded as a whole file of that encoding."""
    with opened(body) as fd:
        return content(fd, whole_file(encoding, len(body)))
