"""Sends the head of an answer together with the first piece of its body, in one write instead of two, and the trailers
with its end."""

import asyncio

_INTERIM = b"HTTP/1.1 1"
_LAST_CHUNK = b"0\r\n\r\n"


class HeadHolder:
    """Stands before a transport for the length of one answer, whose first write is its head (ASGI: a server may wait
    with it for the first event of the body). `flush` when the answer has ended, since some have no body."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._has_begun = False
        self._trailer = b""

    def trail(self, lines: bytes) -> None:
        """Have these lines, each with its end, follow the last chunk, which is the next write."""
        self._trailer = lines

    def write(self, data: bytes) -> None:
        if self._trailer and data == _LAST_CHUNK:
            # RFC 9112 section 7.1: the trailer section stands between the last chunk and the empty line.
            data = b"0\r\n" + self._trailer + b"\r\n"
        if not self._has_begun:
            if data.startswith(_INTERIM):
                self._transport.write(data)
            else:
                self._has_begun = True
                self._head = data
        elif self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data) if data else (head,))
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Let the head go without a body."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
