"""What the OpenAPI document says of one operation, as data that stands beside the operation's route."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

EXAMPLE_MESSAGE_ID, EXAMPLE_ATTACHMENT_ID = "PDIwMjYwMTA1LjFAZXhhbXBsZS5jb20", "MS4y"
EXAMPLE_REQUEST_ID = "5f0c2b8e9d3a4c71b6e80f1a"


@dataclass(frozen=True, slots=True)
class Description:
    """`answers` are Response Objects by status; `failures` and `parameters` are names of shared components."""

    operation_id: str
    summary: str
    text: str
    tag: str
    answers: Mapping[str, Json]
    failures: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


def header_refs(*names: str) -> Json:
    """References to shared headers, beside the one that every answer has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def schema_ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def json_answer(text: str, schema: str, example: object, *headers: str) -> Json:
    """A Response Object of JSON."""
    content = {"application/json": {"schema": schema_ref(schema), "example": example}}
    return {"description": text, "headers": header_refs(*headers), "content": content}
