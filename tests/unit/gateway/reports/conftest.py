"""An index with messages, a key, and the means to ask for reports of them without an API."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from satchel.contract.reports import ActivityType
from satchel.gateway.reports.parameters import EARLIEST, LATEST, PageAsked
from satchel.gateway.store.keys import find_key
from satchel.gateway.store.messages import Arrival, record_arrivals
from satchel.gateway.store.report_rows import ReportRow, count_slice, read_result
from satchel.gateway.store.reports import NewRun, Run, begin_run
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, mailboxes
from tests.unit.gateway.conftest import MakeKey
from tests.unit.gateway.fakes import MAILBOX, ref, summary

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
ALL = PageAsked(500)

Put = Callable[..., None]
Begin = Callable[..., Run]


@pytest.fixture
def put(engine: sa.Engine, make_key: MakeKey) -> Put:
    """Puts messages into the index that were received at the minutes of one day, or that could not be read."""

    def arrive(*minutes: int | None, mailbox: str = MAILBOX, prefix: str = "m") -> None:
        arrivals = []
        for number, minute in enumerate(minutes):
            message = ref(f"{prefix}{number}" if minute is None else f"{prefix}{minute}", mailbox)
            received = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute or 0)
            arrivals.append(Arrival(message, None if minute is None else summary(message, received=received)))
        record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals)

    return arrive


@pytest.fixture
def key_id(engine: sa.Engine, make_key: MakeKey) -> str:
    return find_key(engine, make_key()[:14]).key_id


@pytest.fixture
def begin(engine: sa.Engine, key_id: str) -> Begin:
    def begun(*, now: datetime = NOW, given_up_before: datetime = LONG_AGO, **changes: Any) -> Run:
        values: dict[str, Any] = {
            "run_id": str(uuid4()),
            "account_id": DEFAULT_ACCOUNT_ID,
            "key_id": key_id,
            "mailbox_id": mailbox_id(engine),
            "origin": "/api/v1/reports/receivedMessageDetail",
            "body": "{}",
            "with_participants": False,
            "activity": ActivityType.RECEIVED,
            "start": EARLIEST,
            "end": LATEST,
        }
        return begin_run(engine, NewRun(**values | changes), now, given_up_before=given_up_before)

    return begun


def mailbox_id(engine: sa.Engine, address: str = MAILBOX) -> str:
    with engine.connect() as connection:
        return connection.execute(sa.select(mailboxes.c.id).where(mailboxes.c.address == address)).scalar_one()


def count(engine: sa.Engine, run: Run, *, limit: int = 10_000) -> int:
    """Count a run to its end; in how many slices."""
    slices = 1
    while count_slice(engine, run.run_id, NOW, given_up_before=LONG_AGO, limit=limit):
        slices += 1
    return slices


def result(engine: sa.Engine, run: Run, page: PageAsked = ALL) -> tuple[Run, list[ReportRow]]:
    found = read_result(engine, run.run_id, page, key_id=run.key_id, begun_after=LONG_AGO)
    assert found is not None
    return found[0], list(found[1])
