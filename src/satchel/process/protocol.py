"""What the server itself refuses, before an application sees it: what is no HTTP, and heads without end."""

from http import HTTPStatus
from typing import cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request may bring 64 KiB of headers and trailers; its body is the application's to bound."""

    _head_bytes = 0
    _brought_body = False

    def refusal(self, status: HTTPStatus) -> tuple[dict[str, str], bytes]:
        """Headers and body of a refusal; subclasses say more."""
        return {}, b""

    def data_received(self, data: bytes) -> None:
        self._brought_body = False
        super().data_received(data)
        # What comes with a piece of the body is as bounded as one read is.
        if not self._brought_body:
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._brought_body = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        # uvicorn has no cycle before the first request, whatever its types say.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        # Within an answer that is under way it would be taken for the answer's own bytes: that one only breaks off.
        if cycle is None or cycle.response_complete:
            headers, body = self.refusal(status)
            headers = headers | {"content-length": str(len(body)), "connection": "close"}
            lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {headers[name]}" for name in headers)]
            self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        self.transport.close()
        log.info("request_refused", status=status.value)
