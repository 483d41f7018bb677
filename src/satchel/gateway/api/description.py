"""What the OpenAPI document says of one operation, as data that stands beside the operation's route."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from satchel.contract.errors import ApiError, Link, encode_error
from satchel.contract.routes import DOWNLOAD_ATTACHMENT

Json = dict[str, Any]

EXAMPLE_MESSAGE_ID, EXAMPLE_ATTACHMENT_ID = "PDIwMjYwMTA1LjFAZXhhbXBsZS5jb20", "MS4y"
EXAMPLE_REQUEST_ID = "5f0c2b8e9d3a4c71b6e80f1a"
EXAMPLE_HOST = "https://mail.example.com"
EXAMPLE_MAILBOX_ID = "3f2a7c1e-5b0d-4e8a-9c64-1d7f0b2e8a55"
EXAMPLE_RUN_ID = "64cbb039-7d1e-4a6b-8f52-0c9e3a7b1d24"
EXAMPLE_REPORT = {
    "parameters": {
        "mailboxId": EXAMPLE_MAILBOX_ID,
        "activityType": "received",
        "activityStart": "2026-01-05T00:00:00Z",
    }
}
_DOWNLOAD = Link(
    EXAMPLE_HOST + DOWNLOAD_ATTACHMENT.url(message_id=EXAMPLE_MESSAGE_ID, attachment_id=EXAMPLE_ATTACHMENT_ID),
    "GET",
)


@dataclass(frozen=True, slots=True)
class Description:
    """`answers` are Response Objects by status; `failures` and `parameters` are names of shared components; `body` is a
    Request Body Object."""

    operation_id: str
    summary: str
    text: str
    tag: str
    answers: Mapping[str, Json]
    failures: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    body: Json | None = None


def header_refs(*names: str) -> Json:
    """References to shared headers, beside the one that every answer has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def schema_ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def json_answer(text: str, schema: str, example: object, *headers: str) -> Json:
    """A Response Object of JSON."""
    content = {"application/json": {"schema": schema_ref(schema), "example": example}}
    return {"description": text, "headers": header_refs(*headers), "content": content}


@dataclass(frozen=True, slots=True)
class DescribedFailure:
    """Answers of one status, one for each reason, to a call such as `origin`; `status` may be a range."""

    status: str
    text: str
    errors: tuple[ApiError, ...]
    headers: tuple[str, ...] = ()
    origin: Link = _DOWNLOAD

    def answer(self) -> Json:
        """As a Response Object, with an example of each reason."""
        examples = {
            str(error.reason): {
                "summary": error.message,
                "value": msgspec.json.decode(encode_error(error, self.origin, EXAMPLE_REQUEST_ID)),
            }
            for error in self.errors
        }
        content = {"application/json": {"schema": schema_ref("ErrorEnvelope"), "examples": examples}}
        return {"description": self.text, "headers": header_refs(*self.headers), "content": content}
