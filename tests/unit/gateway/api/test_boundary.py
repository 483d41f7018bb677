"""The outermost layer: who is told of a call, what a draining server refuses, and what the log says."""

import json
from dataclasses import dataclass, field

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from satchel.gateway.api.boundary import Boundary, Observers, StreamBroken
from satchel.gateway.telemetry.metrics import Metrics
from satchel.gateway.telemetry.spans import EndSpan
from satchel.process.logs import LogSettings, configure_logs
from satchel.process.protocol import STOPPING
from tests.unit.gateway.fakes import call

ROUTE = "/api/v1/messages/{message_id}/attachments"


@dataclass
class TemplateRoute:
    path: str = ROUTE


@dataclass
class Application:
    """Answers 200, or fails as it is told to, before or in the middle of its answer."""

    failure: Exception | None = None
    begins: bool = True
    calls: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        scope["route"] = TemplateRoute()
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.failure is not None:
            raise self.failure
        await send({"type": "http.response.body", "body": b"four"})


@dataclass
class FakeTracing:
    """Remembers the requests that began, and how they ended."""

    begun: list[tuple[str, str, str | None]] = field(default_factory=list)
    ended: list[tuple[str | None, int]] = field(default_factory=list)
    trace_id: str = "4bf92f3577b34da6a3ce929d0e0e4736"

    def begin_request(self, method: str, scheme: str, traceparent: str | None) -> "FakeTracing":
        self.begun.append((method, scheme, traceparent))
        return self

    def begin(self, name: str) -> EndSpan:
        raise AssertionError(name)

    def end(self, route: str | None, status: int) -> None:
        self.ended.append((route, status))


def draining(application: Application, observers: Observers | None = None) -> ASGIApp:
    """As a server that drains brings its requests."""
    boundary = Boundary(application, public_url=None, observers=observers or Observers())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][STOPPING] = True
        await boundary(scope, receive, send)

    return app


async def test_observers_are_told_of_every_call() -> None:
    metrics, tracing = Metrics(), FakeTracing()
    app = Boundary(Application(), public_url=None, observers=Observers(metrics=metrics, tracing=tracing))
    assert (await call(app, "/x?secret=1", headers={"traceparent": "00-ab"})).status == 200
    assert (tracing.begun, tracing.ended) == ([("GET", "http", "00-ab")], [(ROUTE, 200)])
    labels = {"route": ROUTE, "method": "GET", "status": "200"}
    assert metrics.registry.get_sample_value("satchel_gateway_requests_total", labels) == 1
    assert metrics.registry.get_sample_value("satchel_gateway_response_bytes_total", {"route": ROUTE}) == 4


async def test_health_checks_are_not_traced() -> None:
    tracing = FakeTracing()
    app = Boundary(Application(), public_url=None, observers=Observers(tracing=tracing))
    assert (await call(app, "/healthz")).status == 200
    assert tracing.begun == []


async def test_a_defect_is_answered_and_traced_and_counted() -> None:
    tracing = FakeTracing()
    failing = Application(ValueError("ann@example.test"), begins=False)
    answer = await call(Boundary(failing, public_url=None, observers=Observers(tracing=tracing)), "/x")
    assert (answer.status, json.loads(answer.body)["error"]["reason"]) == (500, "internal")
    assert tracing.ended == [(ROUTE, 500)]


async def test_what_fails_after_its_beginning_is_left_unfinished() -> None:
    for failure in (ValueError("x"), StreamBroken("source_gave_too_little")):
        answer = await call(Boundary(Application(failure), public_url=None), "/x")
        assert (answer.status, answer.complete) == (200, False)


async def test_a_draining_server_refuses_all_but_questions_for_its_health() -> None:
    application, metrics = Application(), Metrics()
    app = draining(application, Observers(metrics=metrics))
    answer = await call(app, "/api/v1/messages/m/attachments")
    assert answer.status == 503
    assert json.loads(answer.body)["error"]["reason"] == "stopping"
    assert int(answer.headers["retry-after"]) > 0
    assert application.calls == 0
    assert metrics.registry.get_sample_value("satchel_gateway_refusals_total", {"reason": "stopping"}) == 1
    assert (await call(app, "/healthz")).status == 200
    assert application.calls == 1


@pytest.mark.usefixtures("logs_as_they_were")
async def test_the_lines_of_a_request_have_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    tracing = FakeTracing()
    failing = Application(ValueError("ann@example.test"), begins=False)
    app = Boundary(failing, public_url=None, observers=Observers(tracing=tracing))
    await call(app, "/ann@example.test", headers={"x-request-id": "r-1"})
    logged = capsys.readouterr().err
    assert "ann@" not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["event"] for line in lines] == ["call_failed", "request"]
    assert {(line["request_id"], line["trace_id"]) for line in lines} == {("r-1", tracing.trace_id)}
    assert (lines[1]["route"], lines[1]["status"]) == (ROUTE, 500)
