"""Sends the head of an answer together with the first piece of its body, in one write instead of two."""

import asyncio

_INTERIM = b"HTTP/1.1 1"


class HeadHolder:
    """Stands before a transport for the length of one answer, whose first write is its head (ASGI: a server may wait
    with it for the first event of the body). `flush` when the answer has ended, since some have no body."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
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
