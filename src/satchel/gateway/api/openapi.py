"""The OpenAPI document, made by FastAPI from the operations and what is said of each. Says nothing that they do not."""

from collections.abc import Sequence
from http import HTTPMethod

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

from satchel import __version__
from satchel.gateway.api.components import SECURITY_SCHEMES, headers, parameters, schemas
from satchel.gateway.api.described_failures import described_failures
from satchel.gateway.api.description import Description, Json
from satchel.gateway.api.routing import Operation

_ABOUT = """\
Attachments of mail messages: list them, download one, download all. Reports tell which messages there are.

Send an API key as `Authorization: Bearer <API key>`. Calls are checked in this order: the key (401), the account's
rate (429), the key's scope (403), the message, the attachment, the mailbox or the report (404, the same for what is
unknown and for what is not the key's to see). A method that a path does not know is 405, with `Allow`. Every failure is
the one JSON envelope. Every answer carries `X-Request-Id`: quote it when you ask.
"""
_TAGS = [
    {"name": "attachments", "description": "What is attached to a message."},
    {"name": "reports", "description": "Which mailboxes there are, and which messages came to them."},
    {"name": "health", "description": "For load balancers and monitors; they need no key."},
]


def openapi_document(operations: Sequence[Operation]) -> Json:
    """The document of all operations that are described, HEAD beside GET."""
    routes = [
        _described(operation, operation.description, HTTPMethod(method))
        for operation in operations
        if operation.description is not None
        for method in operation.route.methods
    ]
    document: Json = get_openapi(
        title="Satchel gateway", version=__version__, description=_ABOUT, routes=routes, tags=_TAGS
    )
    return document | {"components": _components()}


def _components() -> Json:
    return {
        "schemas": schemas(),
        "responses": {name: failure.answer() for name, failure in described_failures().items()},
        "headers": headers(),
        "parameters": parameters(),
        "securitySchemes": SECURITY_SCHEMES,
    }


def _described(operation: Operation, description: Description, method: HTTPMethod) -> APIRoute:
    route = operation.route
    is_head = method is HTTPMethod.HEAD
    extra: Json = {
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in description.parameters],
        "responses": _answers(description, is_head=is_head),
        "x-cost": route.cost,
    }
    if description.body is not None:
        extra["requestBody"] = description.body
    if route.needs_key:
        extra["security"] = [{"apiKey": sorted(route.scopes)}]
    needs = f"Scope {', '.join(f'`{scope}`' for scope in sorted(route.scopes))}; " if route.scopes else ""
    return APIRoute(
        documented_path(route.path),
        operation.endpoint,
        methods=[method.value],
        operation_id=description.operation_id + ("_head" if is_head else ""),
        summary=description.summary + (": headers alone" if is_head else ""),
        description=f"{description.text}\n\n{needs}cost {route.cost}.",
        tags=[description.tag],
        response_class=Response,
        openapi_extra=extra,
    )


def _answers(description: Description, *, is_head: bool) -> dict[str, Json]:
    failures = described_failures()
    answers = dict(description.answers)
    for name in description.failures:
        failure = failures[name]
        answers[failure.status] = failure.answer() if is_head else {"$ref": f"#/components/responses/{name}"}
    return {status: _without_body(answer) if is_head else answer for status, answer in sorted(answers.items())}


def _without_body(answer: Json) -> Json:
    return {key: value for key, value in answer.items() if key not in {"content", "links"}}


def documented_path(path: str) -> str:
    """A route's path with the names of its parameters as they are in JSON: `{message_id}` is `{messageId}`."""
    head, *words = path.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in words)
