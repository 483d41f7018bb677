"""Traces of a gateway that runs, as a real receiver of OTLP gets them."""

import json
import signal
from pathlib import Path

import requests

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import deliver, message_with_files
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until
from tests.e2e.otlp_receiver import SentSpan, otlp_receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def use(running: Gateway) -> None:
    deliver(running.maildir, message_with_files(1, 1, 300_000))
    ((message_id,),) = until(
        lambda: rows(running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"), "the message"
    )
    listing = LIST_ATTACHMENTS.url(message_id=message_id)
    (listed,) = requests.get(running.url + listing, headers=running.headers, timeout=10).json()["attachments"]
    url = running.url + DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed["id"])
    traced = {**running.headers, "traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=words"}
    assert requests.get(url, headers=traced, timeout=10).status_code == 200
    assert requests.get(running.url + "/nowhere?q=1", timeout=10).status_code == 404


def children(spans: list[SentSpan], parent: SentSpan) -> set[str]:
    return {span.name for span in spans if span.parent_id == parent.span_id and span.trace_id == parent.trace_id}


def test_requests_are_traced_and_sent_at_the_end(tmp_path: Path) -> None:
    with (
        otlp_receiver() as traces,
        gateway(tmp_path / "gateway", further={"tracing.otlp_endpoint": traces.url}) as running,
    ):
        running.start()
        use(running)
        assert running.end(signal.SIGTERM) == 0
        by_name = {span.name: span for span in traces.spans}
        download = by_name[f"GET {DOWNLOAD_ATTACHMENT.path}"]
        assert (download.trace_id, download.parent_id) == (TRACE, PARENT)
        assert download.attributes == {
            "http.request.method": "GET",
            "url.scheme": "http",
            "http.route": DOWNLOAD_ATTACHMENT.path,
            "http.response.status_code": "200",
        }
        assert children(traces.spans, download) == {"admission", "source.open", "source.stream"}
        listing = by_name[f"GET {LIST_ATTACHMENTS.path}"]
        assert children(traces.spans, listing) == {"admission", "source.list"}
        assert by_name["GET"].attributes["http.response.status_code"] == "404"
        assert not [span for span in traces.spans if span.is_error]
        # What is asked outside of requests is in no trace.
        assert "source.describe" not in by_name
        assert "words" not in traces.text
        lines = [json.loads(line) for line in running.log.splitlines()]
        (line,) = [line for line in lines if line.get("route") == DOWNLOAD_ATTACHMENT.path]
        assert line["trace_id"] == TRACE


def test_a_receiver_that_is_not_there_holds_up_nothing(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/traces?token=a-secret"
    with gateway(tmp_path / "gateway", further={"tracing.otlp_endpoint": nobody}) as running:
        running.start()
        use(running)
        assert running.end(signal.SIGTERM) == 0
        assert "library_says" in running.log
        assert "a-secret" not in running.log


def test_a_second_signal_does_not_wait_for_it(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/traces"
    with gateway(tmp_path / "gateway", further={"tracing.otlp_endpoint": nobody}) as running:
        running.start()
        process = running.process
        assert process is not None
        requests.get(f"{running.url}/nowhere", timeout=10)
        process.send_signal(signal.SIGINT)
        until(lambda: "library_says" in running.log, "the exporter's first word")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert "Traceback" not in running.log


def test_a_caller_that_does_not_sample_is_not_traced(tmp_path: Path) -> None:
    with (
        otlp_receiver() as traces,
        gateway(tmp_path / "gateway", further={"tracing.otlp_endpoint": traces.url}) as running,
    ):
        running.start()
        requests.get(f"{running.url}/nowhere", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"}, timeout=10)
        requests.get(f"{running.url}/nowhere", headers={"traceparent": "no such thing"}, timeout=10)
        assert running.end(signal.SIGTERM) == 0
        assert TRACE not in {span.trace_id for span in traces.spans}
        assert "GET" in {span.name for span in traces.spans}
