"""What the server itself refuses, before the application sees it, in the API's envelope."""

import secrets
from http import HTTPStatus

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from satchel.contract.errors import BadRequest, Link, encode_error

_MAX_HEAD_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class EnvelopeProtocol(HttpToolsProtocol):
    """Answers what never comes to the application with the envelope too: what is no HTTP, and endless headers."""

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(BadRequest("The request's headers are too large.", status=431))

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("This is not a valid HTTP request."))

    def _refuse(self, error: BadRequest) -> None:
        request_id = secrets.token_hex(12)
        body = encode_error(error, Link("", ""), request_id)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
        log.info("request_refused", status=error.status)
