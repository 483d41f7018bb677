"""What calls leave behind: grouped, bounded, and never lost to a database that is busy."""

import asyncio
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.contract.errors import Reason
from satchel.contract.scopes import Scope
from satchel.gateway.admission import Caller
from satchel.gateway.audit import recorder as recorder_module
from satchel.gateway.audit.recorder import MAX_GROUPS, Recorder
from satchel.gateway.store.audit import AuditEvent, list_events
from satchel.gateway.store.database import Store
from satchel.gateway.store.keys import create_key, list_keys
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from tests.unit.gateway.fakes import MAILBOX

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROUTE = "/api/v1/messages/{message_id}/attachments"


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return Recorder(store, clock=NOW.timestamp)


@pytest.fixture
def key_id(engine: sa.Engine) -> str:
    add_mailbox(engine, MAILBOX)
    expires_at = datetime.now(UTC) + timedelta(days=1)
    return create_key(engine, "k", scopes=[*Scope], mailboxes=[MAILBOX], expires_at=expires_at)[1].key_id


def by(key_id: str | None, refusal: str | None = None) -> Caller:
    return Caller(key_id=key_id, account_id=DEFAULT_ACCOUNT_ID if key_id else None, refusal=refusal)


def refusals(engine: sa.Engine) -> list[AuditEvent]:
    return [event for event in list_events(engine) if event.action == "call.refused"]


async def test_refusals_that_are_alike_are_one_row(engine: sa.Engine, recorder: Recorder, key_id: str) -> None:
    for number in range(1000):
        recorder.note(by(key_id, Reason.NOT_FOUND), ROUTE, 404, f"request-{number}")
    recorder.note(by(key_id, Reason.MISSING_SCOPE), ROUTE, 403, "other")
    recorder.note(by(None, Reason.KEY_MISSING), ROUTE, 401, "nobody")
    await recorder.write()
    found = [(event.actor, event.reason, event.status, event.count, event.request_id) for event in refusals(engine)]
    assert found == [
        (f"key:{key_id}", "not_found", 404, 1000, "request-0"),
        (f"key:{key_id}", "missing_scope", 403, 1, "other"),
        ("unknown", "key_missing", 401, 1, "nobody"),
    ]
    assert {(event.at, event.route) for event in refusals(engine)} == {(NOW, ROUTE)}
    await recorder.write()
    assert len(refusals(engine)) == 3
    recorder.note(by(key_id, Reason.NOT_FOUND), ROUTE, 404, "later")
    await recorder.write()
    assert [event.count for event in refusals(engine)] == [1000, 1, 1, 1]


@pytest.mark.parametrize(
    ("key", "route", "status", "reason", "told"),
    [
        ("key", ROUTE, 200, None, False),
        ("key", ROUTE, 304, None, False),
        ("key", ROUTE, 401, Reason.KEY_EXPIRED, True),
        (None, ROUTE, 401, Reason.KEY_INVALID, True),
        ("key", ROUTE, 403, Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE, True),
        ("key", ROUTE, 416, Reason.RANGE_NOT_SATISFIABLE, True),
        ("key", ROUTE, 429, Reason.RATE_LIMITED, True),
        (None, ROUTE, 429, Reason.TOO_MANY_FAILED_KEYS, True),
        ("key", ROUTE, 503, Reason.TOO_MANY_DOWNLOADS, True),
        ("key", ROUTE, 503, Reason.STOPPING, False),
        ("key", ROUTE, 500, Reason.INTERNAL, False),
        ("key", ROUTE, 429, Reason.UPSTREAM_THROTTLED, False),
        ("key", ROUTE, 403, Reason.UPSTREAM_UNAVAILABLE, False),
        (None, None, 404, Reason.NOT_FOUND, False),
        (None, None, 405, Reason.METHOD_NOT_ALLOWED, False),
    ],
)
async def test_what_is_a_refusal(
    engine: sa.Engine,
    recorder: Recorder,
    key_id: str,
    key: str | None,
    route: str | None,
    status: int,
    reason: str | None,
    told: bool,
) -> None:
    recorder.note(by(key and key_id, reason), route, status, "r")
    await recorder.write()
    assert [(event.status, event.reason) for event in refusals(engine)] == ([(status, reason)] if told else [])


@pytest.mark.parametrize(
    ("status", "reason", "used"),
    [
        (200, None, True),
        (404, Reason.NOT_FOUND, True),
        (429, Reason.RATE_LIMITED, True),
        (401, Reason.UPSTREAM_UNAVAILABLE, True),
        (401, Reason.KEY_EXPIRED, False),
        (401, Reason.KEY_INVALID, False),
        # One that is known, but not good, at an address over its limit.
        (429, Reason.TOO_MANY_FAILED_KEYS, False),
    ],
)
async def test_a_call_with_a_good_key_uses_it(
    engine: sa.Engine, recorder: Recorder, key_id: str, status: int, reason: str | None, used: bool
) -> None:
    recorder.note(by(key_id, reason), ROUTE, status, "r")
    await recorder.write()
    assert list_keys(engine)[0].last_used_at == (NOW if used else None)


async def test_what_does_not_fit_is_counted(engine: sa.Engine, recorder: Recorder, key_id: str) -> None:
    for number in range(MAX_GROUPS + 50):
        recorder.note(by(None, Reason.KEY_MISSING), f"/route/{number}", 401, "r")
    await recorder.write()
    found = refusals(engine)
    assert len(found) == MAX_GROUPS + 1
    assert (found[-1].reason, found[-1].count, found[-1].actor) == ("not_recorded", 50, "unknown")


async def test_what_cannot_be_written_now_is_kept(
    engine: sa.Engine, recorder: Recorder, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise sa.exc.OperationalError("busy", None, Exception())

    recorder.note(by(key_id, Reason.NOT_FOUND), ROUTE, 404, "first")
    with monkeypatch.context() as patched:
        patched.setattr(recorder_module, "record_calls", fail)
        await recorder.write()
    assert refusals(engine) == []
    recorder.note(by(key_id, Reason.NOT_FOUND), ROUTE, 404, "second")
    await recorder.write()
    assert [(event.count, event.request_id) for event in refusals(engine)] == [(2, "first")]
    assert list_keys(engine)[0].last_used_at == NOW


async def test_what_is_noted_last_is_written_at_the_end(engine: sa.Engine, recorder: Recorder, key_id: str) -> None:
    async with recorder.running():
        recorder.note(by(key_id, Reason.NOT_FOUND), ROUTE, 404, "r")
    assert [event.count for event in refusals(engine)] == [1]


async def test_many_kinds_are_written_before_the_second_is_over(
    engine: sa.Engine, recorder: Recorder, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "INTERVAL_SECONDS", 3600.0)
    written = asyncio.Event()
    write = recorder.write

    async def watched() -> None:
        await write()
        written.set()

    monkeypatch.setattr(recorder, "write", watched)
    async with recorder.running():
        for number in range(300):
            recorder.note(by(None, Reason.KEY_MISSING), f"/route/{number}", 401, "r")
        await written.wait()
        assert len(refusals(engine)) == 300


async def test_a_defect_is_said_at_once_and_raised_at_the_end(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder_module, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "write", fail)

    async def run_until_said(logs: Sequence[MutableMapping[str, Any]]) -> None:
        async with recorder.running():
            while not logs:
                await asyncio.sleep(0)

    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        await run_until_said(logs)
    assert [entry["event"] for entry in logs] == ["recorder_failed"]
