"""What the server refuses before the application sees it, in the API's envelope."""

import secrets
from http import HTTPStatus

from satchel.contract.errors import BadRequest, Link, encode_error
from satchel.process.protocol import BoundedProtocol

_MESSAGES = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's headers are too large.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive in time.",
}


class EnvelopeProtocol(BoundedProtocol):
    """Answers what never comes to the application with the envelope too."""

    def refusal(self, status: HTTPStatus) -> tuple[dict[str, str], bytes]:
        request_id = secrets.token_hex(12)
        error = BadRequest(_MESSAGES.get(status, "This is not a valid HTTP request."), status=status.value)
        body = encode_error(error, Link("", ""), request_id)
        return {"content-type": "application/json", "x-request-id": request_id}, body
