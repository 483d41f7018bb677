"""The gateway's Prometheus metrics, in a registry of their own, and the small application that shows them.

Labels are of sets that are known beforehand: never an id of a message, an address, or a client's own words.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.types import Receive, Scope, Send

from satchel import __version__
from satchel.contract.errors import Reason
from satchel.gateway.admission import Caller
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.process.server import SideServer

OTHER = "other"
_PREFIX = "satchel_gateway"
_OPENMETRICS = "application/openmetrics-text"
# Of a key that is no good, though it may be known whose it is: it never comes to the account's rate.
_KEY_REASONS = frozenset({Reason.KEY_MISSING, Reason.KEY_INVALID, Reason.KEY_EXPIRED, Reason.TOO_MANY_FAILED_KEYS})
_KNOWN_METHODS = frozenset(HTTPMethod)
_KNOWN_REASONS = frozenset(reason.value for reason in Reason)
# A list or a small file takes milliseconds, a large download minutes.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)
_SOURCE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)

Reading = Callable[[], float]
Readings = Callable[[], Mapping[str, float]]
_Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


class Metrics:
    """Everything that is counted. One for each process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info(f"{_PREFIX}_build", "Version of the gateway and of Python.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._calls = _Calls(self.registry)
        self._sources = _Sources(self.registry)
        self._read_bytes = self._counter("source_read_bytes", "Bytes of attachments that mail sources gave.")
        self._deliveries = self._counter(
            "webhook_deliveries", "Attempts to deliver a webhook, by what became of the delivery.", "outcome"
        )
        for status in DeliveryStatus:
            self._deliveries.labels(_outcome(status))

    def note(
        self, caller: Caller, route: str | None, method: str, status: int, seconds: float, body_bytes: int
    ) -> None:
        """A call has ended; `route` is its path's template, None where no route took it."""
        self._calls.note(caller, route, method, status, seconds, body_bytes)

    def note_source(self, operation: str, seconds: float, error: BaseException | None) -> None:
        """A mail source was asked for something, and it took so long, and this is how it failed."""
        self._sources.note(operation, seconds, error)

    def note_read(self, count: int) -> None:
        """A mail source gave so many bytes of an attachment."""
        self._read_bytes.inc(count)

    def note_delivery(self, status: DeliveryStatus) -> None:
        """An attempt to deliver a webhook has ended; `status` is the delivery's after it."""
        self._deliveries.labels(_outcome(status)).inc()

    def read_gauge(self, name: str, help_text: str, reading: Reading) -> None:
        """A gauge whose value is asked for whenever the metrics are."""
        Gauge(f"{_PREFIX}_{name}", help_text, registry=self.registry).set_function(reading)

    def read_counter(self, name: str, help_text: str, reading: Reading) -> None:
        """A counter that is kept elsewhere and asked for whenever the metrics are."""
        self.registry.register(
            _Read(CounterMetricFamily, f"{_PREFIX}_{name}", help_text, None, lambda: {"": reading()})
        )

    def read_counters(self, name: str, help_text: str, label: str, reading: Readings) -> None:
        """Several of them, by the values of a label, which are of a known set."""
        self.registry.register(_Read(CounterMetricFamily, f"{_PREFIX}_{name}", help_text, label, reading))

    def read_gauges(self, name: str, help_text: str, label: str, reading: Readings) -> None:
        """As `read_counters`, of gauges."""
        self.registry.register(_Read(GaugeMetricFamily, f"{_PREFIX}_{name}", help_text, label, reading))

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", help_text, labels, registry=self.registry)


def _outcome(status: DeliveryStatus) -> str:
    # What is pending after an attempt will be tried again.
    return "retried" if status is DeliveryStatus.PENDING else status.value


class _Calls:
    """What is counted of calls. Children are kept here, because looking one up costs as much as counting five times."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            f"{_PREFIX}_requests", "Calls that have ended.", ("route", "method", "status"), registry=registry
        )
        self._durations = Histogram(
            f"{_PREFIX}_request_duration_seconds",
            "Time from a call's arrival to the end of its answer.",
            ("route",),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter(f"{_PREFIX}_response_bytes", "Bytes of answers' bodies.", ("route",), registry=registry)
        self._limited = Counter(
            f"{_PREFIX}_limited_calls",
            "Calls that an account's rate admitted or refused.",
            ("account", "outcome"),
            registry=registry,
        )
        self._refusals = Counter(f"{_PREFIX}_refusals", "Calls that failed, by reason.", ("reason",), registry=registry)
        self._of_requests: dict[tuple[str, str, int], Counter] = {}
        self._of_limited: dict[tuple[str, str], Counter] = {}
        self._of_routes: dict[str, tuple[Histogram, Counter]] = {}
        self._of_refusals = {reason: self._refusals.labels(reason) for reason in (*_KNOWN_REASONS, OTHER)}

    def note(
        self, caller: Caller, route: str | None, method: str, status: int, seconds: float, body_bytes: int
    ) -> None:
        # A template of ours, of which there are few; a path that no route took is the client's own words.
        known = route if route is not None else OTHER
        key = (known, method if method in _KNOWN_METHODS else OTHER, status)
        child = self._of_requests.get(key)
        if child is None:
            child = self._of_requests[key] = self._requests.labels(*key)
        child.inc()
        of_route = self._of_routes.get(known)
        if of_route is None:
            of_route = self._of_routes[known] = self._durations.labels(known), self._bytes.labels(known)
        durations, sent_bytes = of_route
        durations.observe(seconds)
        sent_bytes.inc(body_bytes)
        if caller.refusal is not None:
            self._of_refusals.get(caller.refusal, self._of_refusals[OTHER]).inc()
        if caller.account_id is not None and caller.refusal not in _KEY_REASONS:
            self._note_limit(caller.account_id, "refused" if caller.refusal == Reason.RATE_LIMITED else "admitted")

    def _note_limit(self, account: str, outcome: str) -> None:
        # The accounts are those of the settings: the keys of others are refused with 401.
        child = self._of_limited.get((account, outcome))
        if child is None:
            child = self._of_limited[account, outcome] = self._limited.labels(account, outcome)
        child.inc()


class _Sources:
    """What is counted of mail sources."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            f"{_PREFIX}_source_duration_seconds",
            "Time that was waited for a mail source.",
            ("operation", "outcome"),
            buckets=_SOURCE_BUCKETS,
            registry=registry,
        )
        self._errors = Counter(
            f"{_PREFIX}_source_errors", "Failures of mail sources, by class.", ("operation", "error"), registry=registry
        )
        self._of_durations: dict[tuple[str, str], Histogram] = {}

    def note(self, operation: str, seconds: float, error: BaseException | None) -> None:
        # A class of ours or of Python, of which there are few; a call that its client left has not failed.
        key = (operation, "ok" if error is None else "error" if isinstance(error, Exception) else "cancelled")
        child = self._of_durations.get(key)
        if child is None:
            child = self._of_durations[key] = self._durations.labels(*key)
        child.observe(seconds)
        if key[1] == "error":
            self._errors.labels(operation, type(error).__name__).inc()


class _Read(Collector):
    """A metric that is kept elsewhere; `label` None: it has one value and no labels."""

    def __init__(self, kind: _Family, name: str, help_text: str, label: str | None, reading: Readings) -> None:
        self._kind = kind
        self._name = name
        self._help_text = help_text
        self._labels = [] if label is None else [label]
        self._reading = reading

    def describe(self) -> Iterable[Metric]:
        return [self._kind(self._name, self._help_text, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = self._kind(self._name, self._help_text, labels=self._labels)
        for value, count in self._reading().items():
            family.add_metric([value] if self._labels else [], count)
        return [family]


class MetricsServer(SideServer):
    """The listener of the metrics."""

    event_prefix = "metrics_"
    settings_prefix = "metrics."

    def __init__(self, metrics: Metrics, *, host: str, port: int) -> None:
        super().__init__(MetricsPage(metrics.registry), host=host, port=port)


class MetricsPage:
    """ASGI application: GET and HEAD of `/metrics`, as text or OpenMetrics, whichever is asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, content_type, body = 404, "text/plain; charset=utf-8", b"Not here. Metrics are at /metrics.\n"
        if scope["path"] == "/metrics":
            if scope["method"] in {"GET", "HEAD"}:
                # Not the whole header: what looks like no version there makes the library fail.
                encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in _accepted(scope) else "")
                status, body = 200, encode(self._registry)
            else:
                status, body = 405, b"GET and HEAD only.\n"
        headers = {"content-type": content_type, "content-length": str(len(body))}
        if status == 405:
            headers["allow"] = "GET, HEAD"
        await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _accepted(scope: Scope) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
