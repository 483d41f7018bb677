"""The SDK's suite against the real gateway over a mail folder."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from satchel.client import Client
from tests.contracts.client_cases import ClientCases, Service, list_blocking
from tests.contracts.report_cases import ReportCases, ReportService
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until

FILES = {"invoice.pdf": bytes(range(256)) * 10_000, "größe 請求書.pdf": b"%PDF-1.7 small", "empty.pdf": b""}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("client") / "gateway") as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def service(running: Gateway) -> Service:
    put(running, "1.eml", mail("Files"))
    query = "SELECT message_id FROM messages"
    ((message_id,),) = until(lambda: rows(running.folder / "data" / "gateway.db", query), "the message in the index")
    with Client(running.url, running.key) as client:
        (item,) = [each for each in client.list_attachments(message_id) if not each.is_file]
    return Service(running.url, running.key, message_id, FILES, item.id)


def put(running: Gateway, name: str, message: EmailMessage) -> None:
    (running.maildir / "tmp" / name).write_bytes(message.as_bytes(policy=SMTP))
    (running.maildir / "tmp" / name).rename(running.maildir / "new" / name)


def mail(subject: str) -> EmailMessage:
    message, nested = EmailMessage(), EmailMessage()
    for each in (message, nested):
        each["From"], each["To"], each["Subject"] = "ada@example.org", "invoices@example.test", subject
        each.set_content("Here they are.")
    for name, content in FILES.items():
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    message.add_attachment(nested)
    return message


@pytest.fixture(scope="module")
def reporting(running: Gateway, service: Service) -> ReportService:
    """The message of the other suite is the first of the mailbox."""
    for number in range(7):
        put(running, f"0{number}.eml", mail(f"number {number}"))
    query = "SELECT subject FROM messages ORDER BY id"
    listed = until(
        lambda: found if len(found := rows(running.folder / "data" / "gateway.db", query)) == 8 else None,
        "the messages in the index",
    )
    return ReportService(running.url, running.key, running.maildir.name, [subject for (subject,) in listed])


class TestGateway(ClientCases):
    pass


class TestReportsOfGateway(ReportCases):
    pass


def test_the_blocking_client_gets_the_same(service: Service) -> None:
    assert list_blocking(service) == service.files
