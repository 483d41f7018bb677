"""The metrics of a gateway that runs, as Prometheus scrapes them."""

import signal
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.testing.mail import deliver, message_with_files
from satchel.testing.stack import free_port
from tests.e2e.gateway_process import Gateway, gateway, receiver
from tests.e2e.observe import rows, until

SIZE = 300_000


def scraped(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(port: int, name: str, **labels: str) -> float:
    return scraped(port).get((f"satchel_gateway_{name}", frozenset(labels.items())), 0.0)


def use(running: Gateway) -> None:
    """One list, one download, one unknown message, one bad key."""
    deliver(running.maildir, message_with_files(1, 1, SIZE))
    ((message_id,),) = until(
        lambda: rows(running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"), "the message"
    )
    listing = LIST_ATTACHMENTS.url(message_id=message_id)
    (listed,) = requests.get(running.url + listing, headers=running.headers, timeout=10).json()["attachments"]
    download = DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=listed["id"])
    assert len(requests.get(running.url + download, headers=running.headers, timeout=10).content) == SIZE
    unknown = running.url + LIST_ATTACHMENTS.url(message_id="unknown")
    assert requests.get(unknown, headers=running.headers, timeout=10).status_code == 404
    assert requests.get(unknown, headers={"Authorization": "Bearer wrong"}, timeout=10).status_code == 401


def test_what_was_asked_is_counted(tmp_path: Path) -> None:
    port = free_port()
    with receiver() as endpoint, gateway(tmp_path / "gateway", endpoint.url, {"metrics.listen_port": port}) as running:
        running.start()
        use(running)
        until(lambda: value(port, "webhook_deliveries_total", outcome="delivered") == 1, "the delivery")
        listing, download = LIST_ATTACHMENTS.path, DOWNLOAD_ATTACHMENT.path
        assert value(port, "requests_total", route=download, method="GET", status="200") == 1
        assert value(port, "requests_total", route=listing, method="GET", status="404") == 1
        assert value(port, "request_duration_seconds_count", route=listing) == 3
        assert value(port, "response_bytes_total", route=download) == SIZE
        assert value(port, "source_read_bytes_total") == SIZE
        assert value(port, "source_duration_seconds_count", operation="first_read", outcome="ok") == 1
        assert value(port, "refusals_total", reason="key_invalid") == 1
        assert value(port, "messages_indexed_total") == 1
        assert value(port, "undescribed_messages") == 0
        assert value(port, "open_streams") == 0
        assert sum(found for (name, _), found in scraped(port).items() if name.endswith("limited_calls_total")) == 3
        assert ("process_resident_memory_bytes", frozenset()) in scraped(port)
        assert requests.get(f"{running.url}/metrics", timeout=10).status_code == 404
        assert running.end(signal.SIGTERM) == 0


def test_a_port_that_is_taken_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with gateway(tmp_path / "first") as first:
        first.start()
        taken = int(first.url.rpartition(":")[2])
        with gateway(tmp_path / "second", further={"metrics.listen_port": taken}) as second:
            assert second.spawn().wait(30) != 0
            assert "Change metrics.listen_host or metrics.listen_port." in second.log
