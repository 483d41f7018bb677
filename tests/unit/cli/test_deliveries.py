"""The history of deliveries on the command line."""

import errno
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from satchel.gateway.store.database import open_database
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.webhook_changes import pause_webhook, set_webhook_enabled
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.gateway.webhooks.decision import DeliveryStatus
from tests.unit.cli.test_gateway import HOOK, Office
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX
from tests.unit.gateway.store.past import LONG_AGO, attempted, delivered, statuses

DELIVERIES = ("gateway", "deliveries")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def engine(office: Office) -> Iterator[sa.Engine]:
    engine = open_database(office.config.parent / "data" / "gateway")
    yield engine
    engine.dispose()


@pytest.fixture
def hook(engine: sa.Engine) -> str:
    for address in (MAILBOX, OTHER_MAILBOX):
        add_mailbox(engine, address)
    return add_webhook(engine, NewWebhook("files", HOOK, [MAILBOX, OTHER_MAILBOX])).webhook_id


@pytest.fixture
def three(engine: sa.Engine, hook: str) -> None:
    now = datetime.now(UTC)
    for message_id, hours, changes in (
        ("a", 30, {"status": DeliveryStatus.FAILED, "last_error": "timeout"}),
        ("b", 20, {"mailbox": OTHER_MAILBOX, "last_status_code": 200}),
        ("c", 10, {"status": DeliveryStatus.REJECTED, "last_status_code": 400, "last_error": "http_400"}),
    ):
        delivered(engine, hook, message_id, created_at=now - timedelta(hours=hours), **changes)


def listed(office: Office, *words: str) -> list[str]:
    return [row["message_id"] for row in json.loads(office.good(*DELIVERIES, "list", "--json", *words))]


def exported(office: Office, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in office.good(*DELIVERIES, "export", *words).splitlines()]


@pytest.mark.usefixtures("three")
def test_filters(office: Office, hook: str) -> None:
    since = (datetime.now(UTC) - timedelta(hours=15)).isoformat()
    for words, expected in (
        (("--webhook", "files", "--account", "default", "--limit", "2"), ["b", "c"]),
        (("--webhook", hook, "--mailbox", OTHER_MAILBOX.upper()), ["b"]),
        (("--status", "failed", "--status", "rejected"), ["a", "c"]),
        (("--message", "b"), ["b"]),
        (("--since", since), ["c"]),
        (("--since", "25h", "--until", "15h"), ["b"]),
    ):
        assert listed(office, *words) == expected, words
    told = exported(office, "--since", "25h", "--status", "delivered", "--status", "rejected")
    assert [line["delivery"]["message_id"] for line in told] == ["b", "c"]
    assert "None that fit." in office.good(*DELIVERIES, "list", "--status", "pending")


@pytest.mark.usefixtures("three")
def test_the_table_says_what_was_answered(office: Office) -> None:
    lines = office.good(*DELIVERIES, "list").splitlines()
    assert lines[0].split()[:4] == ["CREATED", "DELIVERY", "WEBHOOK", "MAILBOX"]
    for line, words in zip(
        lines[1:], (("failed", "timeout"), ("delivered", "200"), ("rejected", "http_400")), strict=True
    ):
        for word in words:
            assert word in line


def test_what_is_not_there_is_advised(office: Office, hook: str) -> None:
    for words, advice in (
        (("list", "--since", "yesterday"), "2026-01-31T12:00:00Z"),
        (("list", "--webhook", "nothing"), "satchel gateway webhooks list"),
        (("list", "--mailbox", "nobody"), "write it like"),
        (("list", "--status", "lost"), "failed"),
        (("list", "--account", "acme"), "satchel gateway accounts list"),
        (("show", "nothing"), "satchel gateway deliveries list"),
        (("resend", "nothing"), "satchel gateway deliveries list"),
        (("resend-failed",), "--since"),
    ):
        assert advice in office.advice(*DELIVERIES, *words), words


def test_a_delivery_is_shown_with_each_attempt_and_cannot_steer_the_terminal(
    office: Office, engine: sa.Engine, hook: str
) -> None:
    delivery = delivered(engine, hook, "m", status=DeliveryStatus.FAILED, attempts=2)
    attempted(engine, delivery, 1, error="interrupted")
    attempted(engine, delivery, 2, status_code=502, error="http_502", answer="bad\n\x1b[31m gateway\u202e")
    attempted(engine, delivery, 3, ended=False)
    told = office.good(*DELIVERIES, "show", delivery)
    for fact in (
        delivery,
        hook,
        MAILBOX,
        "failed, 2 attempts counted",
        "interrupted",
        "502",
        "2026-03-01 00:00:01 UTC",
    ):
        assert fact in told
    assert "Answer to attempt 2:\n  bad\n  ·[31m gateway·\n" in told
    as_json = json.loads(office.good(*DELIVERIES, "show", delivery, "--json"))
    assert [attempt["error"] for attempt in as_json["attempts"]] == ["interrupted", "http_502", None]
    [line] = exported(office)
    assert line == as_json
    printed = office.good(*DELIVERIES, "export")
    assert "\x1b" not in printed
    assert "\u202e" not in printed


def test_one_is_sent_again(office: Office, engine: sa.Engine, hook: str) -> None:
    delivery = delivered(engine, hook, "m")
    assert office.good(*DELIVERIES, "resend", delivery) == f"{delivery} is due now.\n"
    assert statuses(engine) == {delivery: "pending"}
    pause_webhook(engine, "files", "works")
    assert f"satchel gateway webhooks resume {hook}" in office.good(*DELIVERIES, "resend", delivery)
    set_webhook_enabled(engine, "files", enabled=False)
    assert f"satchel gateway webhooks enable {hook}" in office.advice(*DELIVERIES, "resend", delivery)


@pytest.mark.usefixtures("three")
def test_what_failed_since_then_is_sent_again(office: Office, engine: sa.Engine) -> None:
    assert office.good(*DELIVERIES, "resend-failed", "--since", "25h") == "1 deliveries are due now.\n"
    assert statuses(engine) == {"delivery-a": "failed", "delivery-b": "delivered", "delivery-c": "pending"}
    for words, count in (
        (("--mailbox", OTHER_MAILBOX), 0),
        (("--webhook", "files"), 1),
        (("--webhook", "files"), 0),
    ):
        told = office.good(*DELIVERIES, "resend-failed", "--since", "40h", *words)
        assert told == f"{count} deliveries are due now.\n"
    events = json.loads(office.good("gateway", "audit", "--action", "delivery.resent", "--json"))
    assert [event["subject_id"] for event in events] == ["delivery-c", "delivery-a"]


def test_who_reads_no_further_is_told_of_no_trouble(
    office: Office, engine: sa.Engine, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    delivered(engine, hook, "m")
    monkeypatch.setattr("satchel.cli.gateway.deliveries.print_json_line", closed)
    result = office.run(*DELIVERIES, "export")
    assert (result.exit_code, result.output) == (1, "")
    assert isinstance(result.exception, SystemExit)


def test_what_cannot_be_sent_is_counted(office: Office, engine: sa.Engine, hook: str) -> None:
    delivered(engine, hook, "m", status=DeliveryStatus.FAILED)
    set_webhook_enabled(engine, "files", enabled=False)
    result = office.run(*DELIVERIES, "resend-failed", "--since", LONG_AGO.isoformat())
    assert result.stdout == "0 deliveries are due now.\n"
    assert "1 more cannot be sent" in result.stderr


def test_for_many_it_asks_first(office: Office, engine: sa.Engine, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("satchel.cli.gateway.deliveries._ASK_ABOVE", 2)
    for number in range(3):
        delivered(engine, hook, str(number), status=DeliveryStatus.FAILED)
    words = (*DELIVERIES, "resend-failed", "--since", LONG_AGO.isoformat())
    for typed, exit_code, advice in (("n\n", 1, "Nothing was sent."), ("", 1, "--yes")):
        result = office.run(*words, typed=typed)
        assert (result.exit_code, advice in str(result.exception)) == (exit_code, True)
    assert set(statuses(engine).values()) == {"failed"}
    assert office.run(*words, typed="y\n").stdout.endswith("3 deliveries are due now.\n")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET status = 'failed', finished_at = created_at")
    assert office.good(*words, "--yes") == "3 deliveries are due now.\n"
