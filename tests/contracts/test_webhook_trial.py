"""`webhooks test` from the command line, against a receiver that verifies what it is sent."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from typer.testing import CliRunner

from satchel.cli.main import app
from satchel.contract.signing import new_secret
from satchel.gateway.sealing import new_master_key
from tests.e2e.http_double import serving

MAILBOX = "invoices@example.com"
SECRET = new_secret()
ENVIRONMENT = {"SATCHEL_WEBHOOK_SECRET": SECRET, "SATCHEL_MASTER_KEY": new_master_key()}
SUCCESS = b'{"status": "success", "message": "Nothing to do.", "actions": [{"type": "tag", "name": "Bills"}]}'


class Receiver:
    """Answers as it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.answer = (200, SUCCESS)
        self.requests: list[tuple[dict[str, str], bytes]] = []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, answer = receiver.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as url:
        receiver.url = f"{url}/webhook"
        yield receiver


class Office:
    """A gateway's folder, in which a webhook called `files` goes to the receiver."""

    def __init__(self, folder: Path, url: str) -> None:
        self.config = folder / "satchel.toml"
        self.allow("127.0.0.0/8")
        assert self.run("mailboxes", "add", MAILBOX)[0] == 0
        assert self.run("webhooks", "add", "files", url, "--mailbox", MAILBOX)[0] == 0

    def allow(self, network: str) -> None:
        lines = ("[gateway.webhooks]", "allow_http = true", f'allowed_networks = ["{network}"]')
        self.config.write_text("\n".join(lines))

    def run(self, *words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["gateway", *words, "--config", str(self.config)], env=ENVIRONMENT)
        return result.exit_code, result.stdout


@pytest.fixture
def office(tmp_path: Path, receiver: Receiver) -> Office:
    return Office(tmp_path, receiver.url)


def test_a_receiver_that_accepts(office: Office, receiver: Receiver) -> None:
    code, output = office.run("webhooks", "test", "files")
    assert code == 0
    assert "accepted it: Nothing to do." in output
    assert "tag (Bills)" in output
    ((headers, body),) = receiver.requests
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["webhook-id"].startswith("test_")
    event = Webhook(SECRET).verify(body, headers)
    assert (event["id"], event["mailbox"], event["hasAttachments"]) == ("test", MAILBOX, False)


def test_a_receiver_that_does_not(office: Office, receiver: Receiver) -> None:
    receiver.answer = (200, b"<html>\x1b[2J")
    code, output = office.run("webhooks", "test", "files")
    assert (code, "no JSON" in output, "\x1b" in output) == (1, True, False)
    receiver.answer = (404, b"")
    assert office.run("webhooks", "test", "files")[0] == 1


def test_for_programs(office: Office, receiver: Receiver) -> None:
    receiver.answer = (503, b"later")
    code, output = office.run("webhooks", "test", "files", "--json")
    told = json.loads(output)
    assert code == 1
    assert told["webhook_id"] == receiver.requests[0][0]["webhook-id"]
    verdict = told["verdict"]
    assert (verdict["accepted"], verdict["reason"], verdict["status_code"], verdict["answer"]) == (
        False,
        "http_503",
        503,
        "later",
    )


def test_it_is_in_the_audit_trail_and_not_in_the_history(office: Office, receiver: Receiver) -> None:
    office.run("webhooks", "disable", "files")
    assert office.run("webhooks", "test", "files")[0] == 0
    assert "webhook.tested" in office.run("audit", "--json")[1]
    assert json.loads(office.run("deliveries", "list", "--json")[1]) == []
    assert SECRET not in office.run("audit", "--json")[1]


def test_the_policy_is_that_of_deliveries(office: Office, receiver: Receiver) -> None:
    office.allow("127.0.0.2")
    code, output = office.run("webhooks", "test", "files")
    assert (code, receiver.requests) == (1, [])
    assert "allowed_networks" in output


def test_a_webhook_that_there_is_not(office: Office) -> None:
    assert office.run("webhooks", "test", "nobody")[0] != 0
