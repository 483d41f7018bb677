"""What a run of a lane writes down: how attempts ended, and which begins next, each before and after its POST.

Everything happens in a transaction that has the lane's row first, and only for the run whose number stands there: no
two runs work on a lane, whichever processes they are in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.audit.actions import GATEWAY_ACTOR
from satchel.gateway.sealing import MasterKey, SealingError
from satchel.gateway.store.deliveries import WEBHOOK_OFF, Lane
from satchel.gateway.store.pauses import pause
from satchel.gateway.store.tables import deliveries, delivery_attempts, delivery_lanes, mailboxes, messages, webhooks
from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome, is_given_up
from satchel.gateway.webhooks.order import ATTEMPTS_IN_ORDER, Candidate, choose
from satchel.gateway.webhooks.schedule import Schedule
from satchel.mail.source import MessageRef

INTERRUPTED = "interrupted"
# Beyond any pause: what waits longer was given its time by a clock that has been put back since.
_LONGEST_PAUSE = timedelta(days=1.5)

Row = sa.Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How webhooks are treated: the pauses of their schedules, when they are paused, what opens their secrets."""

    pauses: Mapping[Schedule, Sequence[float]]
    pause_after_seconds: float
    master_key: MasterKey | None = None


@dataclass(frozen=True, slots=True)
class BegunAttempt:
    """What an attempt needs; `number` is its place in the history, `attempt` in the count towards the bound.

    The first of the `secrets` is the Bearer, and all of them sign. `custom_fields` are those that are to be sent.
    """

    delivery_id: str
    number: int
    attempt: int
    url: str
    webhook_id: str
    schedule: Schedule
    secrets: tuple[str, ...]
    mailbox: str
    message: Row
    custom_fields: dict[str, Any] | None
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class TextWanted:
    """A delivery whose turn it is, once its message's text has been asked for; then `take_up` begins its attempt."""

    delivery_id: str
    account_id: str
    message: MessageRef
    missing_since: datetime | None
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run has ended. The lane has to be looked at by then; None: when something new is in it."""

    look_at: datetime | None = None


# None: nothing can begin before something under way has ended.
Step = BegunAttempt | TextWanted | Ended | None


@dataclass(frozen=True, slots=True)
class Finished:
    """How an attempt ended, and what follows."""

    begun: BegunAttempt
    outcome: Outcome
    decision: Decision


@dataclass(frozen=True, slots=True)
class Question:
    """What a run tells and asks: what has ended, and what comes next beside the deliveries that are `busy`. One that
    `gives_way` begins nothing more."""

    lane: Lane
    run: int
    finished: Sequence[Finished] = ()
    busy: frozenset[str] = frozenset()
    gives_way: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes next, and whether the webhook was paused by this."""

    step: Step
    has_paused: bool = False


def advance(connection: sa.Connection, question: Question, policy: DeliveryPolicy, now: datetime) -> Answer:
    """Write down what has ended, and begin what comes next in the caller's transaction, or end the run.

    An attempt that an earlier process began and never finished is closed as interrupted: its outcome is unknown, it
    does not count, and the receiver may see the message twice. What waits for a webhook that is off is cancelled. A
    webhook that has failed for long, or whose secret does not open, is paused, and what is for it waits.
    """
    is_ours = _hold(connection, question.lane, question.run)
    for finished in question.finished:
        _finish(connection, finished, now)
    if not is_ours:
        return Answer(None if question.busy else Ended())
    webhook = _webhook(connection, question.lane)
    has_paused = _pause_if_given_up(connection, webhook, question.finished, policy, now)
    if _is_off(webhook):
        _cancel(connection, question.lane, now)
        return Answer(_rest(connection, question, None))
    if has_paused or webhook.paused_at is not None or question.gives_way:
        return Answer(_rest(connection, question, now), has_paused)
    return _begin_next(connection, question, webhook, policy, now)


def advance_all(
    engine: sa.Engine, policy: DeliveryPolicy, questions: Sequence[Question]
) -> Sequence[Answer | Exception]:
    """The answers to several runs in one transaction; where one of them fails, each in its own."""
    try:
        with engine.begin() as connection:
            now = datetime.now(UTC)
            return [advance(connection, question, policy, now) for question in questions]
    except Exception as error:  # noqa: BLE001 - it is the answer to whoever asked for what cannot be done
        if len(questions) == 1:
            return [error]
        return [answer for question in questions for answer in advance_all(engine, policy, [question])]


def take_up(engine: sa.Engine, lane: Lane, run: int, delivery_id: str, policy: DeliveryPolicy) -> BegunAttempt | None:
    """Begin the attempt of a delivery whose text has been asked for; None where it is not to be made any more."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        if not _hold(connection, lane, run):
            return None
        webhook = _webhook(connection, lane)
        status = connection.scalar(sa.select(deliveries.c.status).where(deliveries.c.id == delivery_id))
        if _is_off(webhook) or webhook.paused_at is not None or status != DeliveryStatus.PENDING:
            return None
        secrets = _secrets(connection, webhook, policy, now)
        return None if secrets is None else _begin(connection, delivery_id, webhook, secrets, now)


def postpone(engine: sa.Engine, delivery_id: str, until: datetime, missing_since: datetime) -> None:
    """Let a delivery wait for its text. That counts as no attempt, and it keeps its place."""
    values = {"next_attempt_at": until, "text_missing_since": missing_since}
    is_waiting = sa.and_(deliveries.c.id == delivery_id, deliveries.c.status == DeliveryStatus.PENDING)
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).where(is_waiting).values(values))


def _hold(connection: sa.Connection, lane: Lane, run: int) -> bool:
    """Whether the run is the lane's, which nobody else changes then. A write, because SQLite locks at the first one."""
    is_run = sa.and_(_is_lane(delivery_lanes, lane), delivery_lanes.c.run == run)
    return connection.execute(sa.update(delivery_lanes).where(is_run).values(run=run)).rowcount == 1


def _rest(connection: sa.Connection, question: Question, look_at: datetime | None) -> Ended | None:
    """End the run, unless something of it is under way."""
    if question.busy:
        return None
    update = sa.update(delivery_lanes).where(_is_lane(delivery_lanes, question.lane))
    connection.execute(update.values(run=question.run + 1, due_at=look_at))
    return Ended(look_at)


def _begin_next(
    connection: sa.Connection, question: Question, webhook: Row, policy: DeliveryPolicy, now: datetime
) -> Answer:
    pauses = policy.pauses[Schedule(webhook.schedule)]
    waiting = _candidates(connection, question.lane, webhook.max_in_flight, now)
    choice = choose(waiting, question.busy, width=webhook.max_in_flight, pauses=pauses, now=now)
    if choice.delivery_id is None:
        later = None if question.busy else _next_passed(connection, question.lane, now)
        return Answer(_rest(connection, question, min(filter(None, (choice.look_at, later)), default=None)))
    secrets = _secrets(connection, webhook, policy, now)
    if secrets is None:
        return Answer(_rest(connection, question, now), has_paused=True)
    if webhook.include_text:
        return Answer(_text_wanted(connection, choice.delivery_id, webhook))
    return Answer(_begin(connection, choice.delivery_id, webhook, secrets, now))


def _candidates(connection: sa.Connection, lane: Lane, width: int, now: datetime) -> Sequence[Candidate]:
    """The first of the lane, without those that others pass while they wait: one more than may be under way."""
    columns = deliveries.c
    query = (
        sa.select(columns.id, columns.attempts, columns.next_attempt_at)
        .where(
            _is_lane(deliveries, lane),
            columns.status == DeliveryStatus.PENDING,
            sa.or_(
                columns.attempts < ATTEMPTS_IN_ORDER,
                columns.next_attempt_at <= now,
                columns.next_attempt_at > now + _LONGEST_PAUSE,
            ),
        )
        .order_by(columns.message_row_id)
        .limit(width + 1)
    )
    return [Candidate(*row) for row in connection.execute(query)]


def _next_passed(connection: sa.Connection, lane: Lane, now: datetime) -> datetime | None:
    """When the next of those comes that others pass while they wait."""
    query = sa.select(sa.func.min(deliveries.c.next_attempt_at)).where(
        _is_lane(deliveries, lane),
        deliveries.c.status == DeliveryStatus.PENDING,
        deliveries.c.attempts >= ATTEMPTS_IN_ORDER,
        deliveries.c.next_attempt_at > now,
    )
    found: datetime | None = connection.scalar(query)
    return found


def _text_wanted(connection: sa.Connection, delivery_id: str, webhook: Row) -> TextWanted:
    row = _delivery(connection, delivery_id)
    ref = MessageRef(row.address, row.message_id, row.locator)
    return TextWanted(delivery_id, webhook.account_id, ref, row.text_missing_since, webhook.max_in_flight)


def _begin(
    connection: sa.Connection, delivery_id: str, webhook: Row, secrets: tuple[str, ...], now: datetime
) -> BegunAttempt:
    row = _delivery(connection, delivery_id)
    _close_attempts(connection, delivery_attempts.c.delivery_id == delivery_id, now)
    highest = sa.select(sa.func.max(delivery_attempts.c.number)).where(delivery_attempts.c.delivery_id == delivery_id)
    number = (connection.scalar(highest) or 0) + 1
    attempt = {"delivery_id": delivery_id, "number": number, "started_at": now}
    connection.execute(sa.insert(delivery_attempts), [attempt])
    return BegunAttempt(
        delivery_id,
        number,
        row.attempts + 1,
        webhook.url,
        webhook.id,
        Schedule(webhook.schedule),
        secrets,
        row.address,
        row,
        row.custom_fields if webhook.include_custom_fields else None,
        webhook.max_in_flight,
    )


def _finish(connection: sa.Connection, finished: Finished, now: datetime) -> None:
    begun, outcome, decision = finished.begun, finished.outcome, finished.decision
    is_attempt = sa.and_(
        delivery_attempts.c.delivery_id == begun.delivery_id, delivery_attempts.c.number == begun.number
    )
    ended = {"finished_at": now, "status_code": outcome.status, "error": decision.error, "answer": outcome.answer_text}
    connection.execute(sa.update(delivery_attempts).where(is_attempt).values(ended))
    waits = decision.status is DeliveryStatus.PENDING
    # One that was cancelled meanwhile is not tried again; what became of it otherwise is the truth.
    open_statuses = (DeliveryStatus.PENDING,) if waits else (DeliveryStatus.PENDING, DeliveryStatus.CANCELLED)
    is_open = sa.and_(deliveries.c.id == begun.delivery_id, deliveries.c.status.in_(open_statuses))
    values = {
        "status": decision.status,
        "attempts": begun.attempt,
        "next_attempt_at": now + timedelta(seconds=decision.wait_seconds) if waits else None,
        "finished_at": None if waits else now,
        "last_status_code": outcome.status,
        "last_error": decision.error,
        "last_answer": outcome.answer_text,
    }
    connection.execute(sa.update(deliveries).where(is_open).values(values))


def _pause_if_given_up(
    connection: sa.Connection, webhook: Row, finished: Sequence[Finished], policy: DeliveryPolicy, now: datetime
) -> bool:
    """Count attempts that did not reach the webhook since the last one that did, and whether it is paused by them."""
    since, count = webhook.failing_since, webhook.failed_attempts
    for each in finished:
        since, count = (None, 0) if each.outcome.status == 200 else (since or now, count + 1)
    if (since, count) != (webhook.failing_since, webhook.failed_attempts):
        update = sa.update(webhooks).where(webhooks.c.id == webhook.id)
        connection.execute(update.values(failing_since=since, failed_attempts=count))
    if since is None or webhook.paused_at is not None or _is_off(webhook):
        return False
    if not is_given_up(since, count, now, pause_after_seconds=policy.pause_after_seconds):
        return False
    note = f"No attempt since {since:%Y-%m-%d %H:%M} UTC was answered with 200; there were {count}."
    pause(connection, webhook.id, note, GATEWAY_ACTOR, now)
    return True


def _secrets(connection: sa.Connection, webhook: Row, policy: DeliveryPolicy, now: datetime) -> tuple[str, ...] | None:
    """What the webhook is sent with; None where one does not open, and the webhook is paused: nothing goes without."""
    found = [sealed for sealed in (webhook.sealed_secret, webhook.sealed_next_secret) if sealed is not None]
    if not found:
        return ()
    note = "Its secret is sealed, and the gateway was started without SATCHEL_MASTER_KEY."
    if policy.master_key is not None:
        try:
            return tuple(policy.master_key.unseal(sealed, webhook.id) for sealed in found)
        except SealingError as error:
            note = str(error)
    pause(connection, webhook.id, note, GATEWAY_ACTOR, now)
    return None


def _cancel(connection: sa.Connection, lane: Lane, now: datetime) -> None:
    is_waiting = sa.and_(_is_lane(deliveries, lane), deliveries.c.status == DeliveryStatus.PENDING)
    waiting = sa.select(deliveries.c.id).where(is_waiting)
    _close_attempts(connection, delivery_attempts.c.delivery_id.in_(waiting), now)
    values = {"status": DeliveryStatus.CANCELLED, "next_attempt_at": None, "finished_at": now}
    connection.execute(sa.update(deliveries).where(is_waiting).values(**values, last_error=WEBHOOK_OFF))


def _close_attempts(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    is_open = sa.and_(which, delivery_attempts.c.finished_at.is_(None))
    connection.execute(sa.update(delivery_attempts).where(is_open).values(finished_at=now, error=INTERRUPTED))


def _webhook(connection: sa.Connection, lane: Lane) -> Row:
    return connection.execute(sa.select(webhooks).where(webhooks.c.id == lane.webhook_id)).one()


def _is_off(webhook: Row) -> bool:
    return not webhook.enabled or webhook.removed_at is not None


def _is_lane(table: sa.Table, lane: Lane) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.webhook_id == lane.webhook_id, table.c.mailbox_id == lane.mailbox_id)


def _delivery(connection: sa.Connection, delivery_id: str) -> Row:
    """A delivery with its message and mailbox."""
    own = (deliveries.c.attempts, deliveries.c.custom_fields, deliveries.c.text_missing_since)
    query = sa.select(messages, mailboxes.c.address, *own).join_from(deliveries, messages)
    query = query.join(mailboxes, mailboxes.c.id == messages.c.mailbox_id).where(deliveries.c.id == delivery_id)
    return connection.execute(query).one()
