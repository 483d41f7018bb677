"""The SDK's suite against the real gateway over a mail folder."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from satchel.client import Client
from tests.contracts.client_cases import ClientCases, Service, list_blocking
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
    (running.maildir / "tmp" / "1.eml").write_bytes(mail().as_bytes(policy=SMTP))
    (running.maildir / "tmp" / "1.eml").rename(running.maildir / "new" / "1.eml")
    query = "SELECT message_id FROM messages"
    ((message_id,),) = until(lambda: rows(running.folder / "data" / "gateway.db", query), "the message in the index")
    with Client(running.url, running.key) as client:
        (item,) = [each for each in client.list_attachments(message_id) if not each.is_file]
    return Service(running.url, running.key, message_id, FILES, item.id)


def mail() -> EmailMessage:
    message, nested = EmailMessage(), EmailMessage()
    for each in (message, nested):
        each["From"], each["To"], each["Subject"] = "ada@example.org", "invoices@example.test", "Files"
        each.set_content("Here they are.")
    for name, content in FILES.items():
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    message.add_attachment(nested)
    return message


class TestGateway(ClientCases):
    pass


def test_the_blocking_client_gets_the_same(service: Service) -> None:
    assert list_blocking(service) == service.files
