"""What is counted of calls, sources and deliveries, and the page that shows it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from satchel.contract.errors import Reason
from satchel.gateway.admission import Caller
from satchel.gateway.telemetry.metrics import Metrics, MetricsPage
from satchel.gateway.webhooks.decision import DeliveryStatus
from satchel.mail.source import SourceUnavailable
from tests.unit.gateway.fakes import call

LIST = "/api/v1/messages/{message_id}/attachments"


async def samples(metrics: Metrics) -> dict[str, float]:
    """Value by name with its labels, as a scraper reads it."""
    answer = await call(MetricsPage(metrics.registry), "/metrics")
    assert answer.status == 200
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def test_calls_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.note(Caller(), LIST, "GET", status, 0.02, 100)
    metrics.note(Caller(), None, "GET", 404, 0.001, 7)
    seen = await samples(metrics)
    assert seen[f"satchel_gateway_requests_total{{method=GET,route={LIST},status=200}}"] == 2
    assert seen[f"satchel_gateway_requests_total{{method=GET,route={LIST},status=404}}"] == 1
    assert seen["satchel_gateway_requests_total{method=GET,route=other,status=404}"] == 1
    assert seen[f"satchel_gateway_request_duration_seconds_count{{route={LIST}}}"] == 3
    assert seen[f"satchel_gateway_request_duration_seconds_bucket{{le=0.01,route={LIST}}}"] == 0
    assert seen[f"satchel_gateway_response_bytes_total{{route={LIST}}}"] == 300


async def test_what_a_client_makes_up_is_no_label() -> None:
    metrics = Metrics()
    metrics.note(Caller(refusal="made-up"), None, "MADE-UP", 405, 0.0, 0)
    seen = await samples(metrics)
    assert seen["satchel_gateway_requests_total{method=other,route=other,status=405}"] == 1
    assert seen["satchel_gateway_refusals_total{reason=other}"] == 1
    assert not [name for name in seen if "made-up" in name.lower()]


@pytest.mark.parametrize(
    ("status", "refusal", "outcome"),
    [
        (200, None, "admitted"),
        (404, Reason.NOT_FOUND, "admitted"),
        (429, Reason.UPSTREAM_THROTTLED, "admitted"),
        (401, Reason.UPSTREAM_UNAVAILABLE, "admitted"),
        (429, Reason.RATE_LIMITED, "refused"),
    ],
)
async def test_the_use_of_an_accounts_rate(status: int, refusal: Reason | None, outcome: str) -> None:
    metrics = Metrics()
    metrics.note(Caller(account_id="acme", refusal=refusal), LIST, "GET", status, 0.0, 0)
    seen = await samples(metrics)
    assert seen[f"satchel_gateway_limited_calls_total{{account=acme,outcome={outcome}}}"] == 1


async def test_a_call_without_a_good_key_uses_no_rate_and_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    metrics.note(Caller(account_id="acme", refusal=Reason.KEY_EXPIRED), LIST, "GET", 401, 0.0, 0)
    metrics.note(Caller(refusal=Reason.TOO_MANY_FAILED_KEYS), LIST, "GET", 429, 0.0, 0)
    seen = await samples(metrics)
    assert not [name for name in seen if name.startswith("satchel_gateway_limited_calls_total")]
    assert seen["satchel_gateway_refusals_total{reason=key_expired}"] == 1
    assert seen["satchel_gateway_refusals_total{reason=too_many_failed_keys}"] == 1


async def test_sources_deliveries_and_what_is_kept_elsewhere() -> None:
    metrics = Metrics()
    metrics.note_source("list", 0.2, None)
    metrics.note_source("list", 0.2, SourceUnavailable("ann@example.test does not answer"))
    metrics.note_delivery(DeliveryStatus.DELIVERED)
    metrics.note_delivery(DeliveryStatus.PENDING)
    metrics.read_gauge("open_streams", "Streams.", lambda: 3)
    metrics.read_counter("messages_indexed", "Messages.", lambda: 5)
    seen = await samples(metrics)
    assert seen["satchel_gateway_source_duration_seconds_count{operation=list,outcome=ok}"] == 1
    assert seen["satchel_gateway_source_duration_seconds_count{operation=list,outcome=error}"] == 1
    assert seen["satchel_gateway_source_errors_total{error=SourceUnavailable,operation=list}"] == 1
    assert seen["satchel_gateway_webhook_deliveries_total{outcome=delivered}"] == 1
    assert seen["satchel_gateway_webhook_deliveries_total{outcome=retried}"] == 1
    assert seen["satchel_gateway_webhook_deliveries_total{outcome=failed}"] == 0
    assert seen["satchel_gateway_open_streams{}"] == 3
    assert seen["satchel_gateway_messages_indexed_total{}"] == 5


async def test_the_page() -> None:
    page = MetricsPage(Metrics().registry)
    answer = await call(page, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for version in ("1.0.0", "0.0.1", "none", "1..0", ""):
        wanted = {"accept": f"text/html, application/openmetrics-text; version={version}; q=0.5"}
        answer = await call(page, "/metrics", headers=wanted)
        assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert answer.body.endswith(b"# EOF\n")
    head = await call(page, "/metrics", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 1000
    assert (await call(page, "/")).status == 404
    refused = await call(page, "/metrics", method="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_what_is_kept_elsewhere_is_read_when_it_is_asked_for() -> None:
    metrics, counts, standing = Metrics(), {"ok": 1, "throttled": 0}, {"active": 2}
    metrics.read_counter("things", "Things.", lambda: counts["ok"])
    metrics.read_counters("calls", "Calls.", "outcome", lambda: counts)
    metrics.read_gauges("subscriptions", "Subscriptions.", "status", lambda: standing)
    assert (await samples(metrics))["satchel_gateway_calls_total{outcome=ok}"] == 1
    counts["ok"], standing["active"] = 5, 0
    seen = await samples(metrics)
    assert seen["satchel_gateway_things_total{}"] == 5
    assert seen["satchel_gateway_calls_total{outcome=ok}"] == 5
    assert seen["satchel_gateway_calls_total{outcome=throttled}"] == 0
    assert seen["satchel_gateway_subscriptions{status=active}"] == 0
