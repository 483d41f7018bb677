"""Whether the process runs, and whether it can do its work: without a key, and without a word of why not."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.routes import open_route
from satchel.gateway.api.description import Description, Json, json_answer
from satchel.gateway.api.routing import Operation, json_response
from satchel.process.server import is_stopping

HEALTHZ = open_route("/healthz")
READYZ = open_route("/readyz")

Ready = Callable[[], Awaitable[dict[str, bool]]]
# Counts of calls that are shared with other gateways: while they are lost each process counts by itself, and serves.
_ADVISORY_CHECKS = frozenset({"redis"})


class HealthReport(msgspec.Struct, frozen=True):
    """The process runs."""

    status: str


class ReadinessReport(msgspec.Struct, frozen=True):
    """Which parts work."""

    status: str
    checks: dict[str, bool]


def health_operations(ready: Ready) -> tuple[Operation, ...]:
    """`ready` says of each part that the gateway needs whether it works."""

    async def healthz(request: Request) -> Response:
        return json_response(HealthReport("ok"))

    async def readyz(request: Request) -> Response:
        checks = {"running": not is_stopping(request.scope), **await ready()}
        is_ready = all(is_well for name, is_well in checks.items() if name not in _ADVISORY_CHECKS)
        return json_response(ReadinessReport("ready" if is_ready else "not_ready", checks), 200 if is_ready else 503)

    return Operation(HEALTHZ, healthz, _HEALTHZ), Operation(READYZ, readyz, _READYZ)


def _readiness(status: str, *, intake: bool) -> Json:
    return {"status": status, "checks": {"running": True, "store": True, "sources": True, "intake": intake}}


_SERVER_FAILURES = ("BadRequest", "RequestTimeout", "HeadersTooLarge", "InternalError")
_HEALTHZ = Description(
    operation_id="healthz",
    summary="Does the process run?",
    text="Answers while the process lives.",
    tag="health",
    answers={"200": json_answer("It does.", "HealthReport", {"status": "ok"})},
    failures=_SERVER_FAILURES,
    parameters=("X-Request-Id",),
)
_READYZ = Description(
    operation_id="readyz",
    summary="Can the process do its work?",
    text="Asks every part that the gateway needs. A load balancer sends calls elsewhere while this is 503.",
    tag="health",
    answers={
        "200": json_answer("It can.", "ReadinessReport", _readiness("ready", intake=True)),
        "503": json_answer("Not yet, or not any more.", "ReadinessReport", _readiness("not_ready", intake=False)),
    },
    failures=_SERVER_FAILURES,
    parameters=("X-Request-Id",),
)
