"""A webhook with deliveries in its lane, and what its run asks the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.store.attempts import (
    Answer,
    BegunAttempt,
    DeliveryPolicy,
    Ended,
    Finished,
    Question,
    TextWanted,
    advance,
)
from satchel.gateway.store.deliveries import Lane, due_lanes, runs_to_begin
from satchel.gateway.store.mailboxes import add_mailbox, mark_indexed
from satchel.gateway.store.messages import Arrival, delivery_id, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, deliveries, delivery_attempts, webhooks
from satchel.gateway.store.webhooks import NewWebhook, WebhookRow, add_webhook
from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome
from satchel.gateway.webhooks.schedule import Schedule
from tests.unit.gateway.fakes import MAILBOX, MASTER_KEY, ref, summary

SECRET = "s" * 16
SUCCESS = Outcome(200, b'{"status": "success"}')
TIMEOUT = Outcome(error="timeout")
PAUSES = {Schedule.STANDARD: WebhookSettings().retry_seconds, Schedule.LONG: WebhookSettings().long_retry_seconds}


def delivery_policy(
    *, pause_after_seconds: float = 86_400.0, master_key: MasterKey | None = MASTER_KEY
) -> DeliveryPolicy:
    return DeliveryPolicy(PAUSES, pause_after_seconds, master_key)


def again(seconds: float = 5.0) -> Decision:
    return Decision(DeliveryStatus.PENDING, "http_500", seconds)


def add_hook(engine: sa.Engine, **values: Any) -> WebhookRow:
    add_mailbox(engine, MAILBOX)
    mark_indexed(engine, DEFAULT_ACCOUNT_ID, None)
    new = NewWebhook(
        **{"name": "w", "url": "https://example.com/hook", "mailboxes": [MAILBOX], "secret": SECRET} | values
    )
    return add_webhook(engine, new, master_key=MASTER_KEY)


def arrive(engine: sa.Engine, *message_ids: str) -> frozenset[Lane]:
    return record_arrivals(
        engine, DEFAULT_ACCOUNT_ID, [Arrival(ref(message_id), summary(ref(message_id))) for message_id in message_ids]
    )


def rows_of(engine: sa.Engine, table: sa.Table, *names: str) -> list[tuple[object, ...]]:
    query = sa.select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def set_webhook(engine: sa.Engine, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(webhooks).values(values))


@dataclass
class OneLane:
    """The lane of a webhook with one mailbox, at a time that the test sets."""

    engine: sa.Engine
    hook: WebhookRow
    lane: Lane
    policy: DeliveryPolicy = field(default_factory=delivery_policy)
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(seconds=1))

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def run(self) -> int:
        with self.engine.connect() as connection:
            return connection.exec_driver_sql("SELECT run FROM delivery_lanes").scalar_one()

    @property
    def is_due(self) -> bool:
        return due_lanes(self.engine, self.now) == [self.lane]

    @property
    def is_to_begin(self) -> bool:
        return self.lane in runs_to_begin(self.engine, [self.lane])

    def ask(
        self,
        *finished: Finished,
        busy: Sequence[BegunAttempt] = (),
        run: int | None = None,
        gives_way: bool = False,
    ) -> Answer:
        asked = self.run if run is None else run
        question = Question(self.lane, asked, finished, frozenset(each.delivery_id for each in busy), gives_way)
        with self.engine.begin() as connection:
            return advance(connection, question, self.policy, self.now)

    def begin(self, *finished: Finished, busy: Sequence[BegunAttempt] = ()) -> BegunAttempt:
        step = self.ask(*finished, busy=busy).step
        assert isinstance(step, BegunAttempt)
        return step

    def wants_text(self, *finished: Finished) -> TextWanted:
        step = self.ask(*finished).step
        assert isinstance(step, TextWanted)
        return step

    def ends(self, *finished: Finished) -> Ended:
        step = self.ask(*finished).step
        assert isinstance(step, Ended)
        return step

    def id_of(self, message_id: str) -> str:
        return delivery_id(self.hook.webhook_id, message_id)

    def statuses(self) -> list[str]:
        query = sa.select(deliveries.c.status).order_by(deliveries.c.message_row_id)
        with self.engine.connect() as connection:
            return list(connection.scalars(query))

    def attempts(self, *names: str) -> list[tuple[object, ...]]:
        return rows_of(self.engine, delivery_attempts, "number", "status_code", "error", *names)


def delivered(begun: BegunAttempt) -> Finished:
    return Finished(begun, SUCCESS, Decision(DeliveryStatus.DELIVERED))


def retried(begun: BegunAttempt, seconds: float = 5.0) -> Finished:
    return Finished(begun, Outcome(500, b"oops"), again(seconds))


def failed(begun: BegunAttempt, outcome: Outcome = TIMEOUT) -> Finished:
    return Finished(begun, outcome, Decision(DeliveryStatus.FAILED, "failed"))


def make_lane(engine: sa.Engine, *message_ids: str, **hook: Any) -> OneLane:
    row = add_hook(engine, **hook)
    (lane,) = arrive(engine, *message_ids)
    return OneLane(engine, row, lane)
