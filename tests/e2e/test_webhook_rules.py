"""A real gateway with rules: the right webhooks are told, each with its fields and the text, the others are not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from satchel.gateway.rules.conditions import AttachmentConditions, Conditions
from satchel.gateway.store.database import open_database
from satchel.gateway.store.rules import RuleDraft, add_rule, set_rule_enabled
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.egress import EgressPolicy
from satchel.testing.mail import Multipart, SampleMessage, deliver, file_part, text_part, tiny_pdf
from tests.e2e.gateway_process import LOOPBACK, MAILBOX, Gateway, gateway
from tests.e2e.http_double import serving
from tests.e2e.observe import until

SUPPLIER, NEWSLETTER = "Ann <ann@Supplier.example>", '"ann@supplier.example" <news@mail.newsletter.example>'


class Events:
    """What was posted, by path and subject."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()

    def of(self, subject: str) -> list[tuple[str, dict[str, Any]]]:
        with self.lock:
            return [(path, event) for path, event in self.seen if event["subject"] == subject]


@contextmanager
def listening() -> Iterator[tuple[str, Events]]:
    events = Events()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with events.lock:
                events.seen.append((self.path, event))
            answer = b'{"status": "success"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as url:
        yield url, events


def put(running: Gateway, subject: str, sender: str, *, file: str = "bill.pdf", html: str = "") -> None:
    text = text_part(html, "html") if html else text_part("Dear all,\r\nhere it is.\r\n")
    attachment = file_part(file, "application/octet-stream", tiny_pdf(subject))
    mixed = Multipart("mixed", "mixed", [text, attachment])
    deliver(running.maildir, SampleMessage(subject.replace(" ", "-"), subject, mixed, sender=sender))


def prepare(running: Gateway, url: str) -> None:
    """Three rules: newsletters are for nobody, orders for one webhook alone, PDFs of the supplier for another."""
    policy = EgressPolicy(allow_http=True, allowed_networks=LOOPBACK)
    engine = open_database(running.folder / "data")
    for name, with_text in (("orders", False), ("bills", True)):
        new = NewWebhook(name, f"{url}/{name}", [MAILBOX], by_rules=True, include_text=with_text)
        add_webhook(engine, new, policy=policy)
    of_supplier = Conditions(senders=("@supplier.example",), attachments=AttachmentConditions((".pdf",)))
    for draft in (
        RuleDraft("newsletters", Conditions(senders=("@*.newsletter.example",)), stop=True),
        RuleDraft("orders", Conditions(subject_regex=r"^order \d+"), "orders", {"queue": "orders"}, stop=True),
        RuleDraft("bills", of_supplier, "bills", {"queue": "bills", "cost centre": "42"}),
    ):
        add_rule(engine, MAILBOX, draft)
    engine.dispose()


def switch(running: Gateway, rule: str) -> None:
    engine = open_database(running.folder / "data")
    set_rule_enabled(engine, rule, enabled=False)
    engine.dispose()


def test_who_is_told_of_what(tmp_path: Path) -> None:
    with listening() as (url, events), gateway(tmp_path / "gateway") as running:
        prepare(running, url)
        running.start()
        put(running, "Order 6", NEWSLETTER)
        put(running, "ORDER 7", SUPPLIER)
        put(running, "Bill 8", SUPPLIER)
        put(running, "Archive 9", SUPPLIER, file="bill.zip")
        put(running, "Bill 10", "Eve <eve@evil.example>")
        put(running, "Bill 11", SUPPLIER, html="<p>Sum:&nbsp;<b>12 &euro;</b><script>x</script>\r\n")
        until(lambda: len(events.seen) == 3, "three events")
        switch(running, "newsletters")
        put(running, "Order 12", NEWSLETTER)
        until(lambda: events.of("Order 12"), "the order, now that newsletters are taken")

        ((path, order),) = events.of("ORDER 7")
        assert (path, order["customFields"], order.get("bodyText")) == ("/orders", {"queue": "orders"}, None)
        ((path, bill),) = events.of("Bill 8")
        assert (path, bill["customFields"]) == ("/bills", {"queue": "bills", "cost centre": "42"})
        assert (bill["bodyText"], bill["mailbox"]) == ("Dear all,\nhere it is.", MAILBOX)
        ((path, bill),) = events.of("Bill 11")
        assert (path, bill["bodyText"]) == ("/bills", "Sum: 12 €")
        assert [path for path, _ in events.of("Order 12")] == ["/orders"]
        assert len(events.seen) == 4
        assert "Dear all" not in running.log
        assert "supplier" not in running.log
