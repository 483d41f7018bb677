"""What a run of a lane writes down: how attempts ended, and which begins next, each before and after its POST.

Everything happens in a transaction that has the lane's row first, and only for the run whose number stands there: no
two runs work on a lane, whichever processes they are in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from satchel.gateway.audit.actions import GATEWAY_ACTOR
from satchel.gateway.sealing import MasterKey, SealingError
from satchel.gateway.store import attempt_rows as rows
from satchel.gateway.store.attempt_rows import Row
from satchel.gateway.store.deliveries import WEBHOOK_OFF, Lane
from satchel.gateway.store.pauses import pause
from satchel.gateway.store.tables import deliveries, webhooks
from satchel.gateway.webhooks.decision import Decision, DeliveryStatus, Outcome, is_given_up
from satchel.gateway.webhooks.order import choose
from satchel.gateway.webhooks.schedule import Schedule
from satchel.mail.source import MessageRef


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
    secrets: tuple[str, ...] = field(repr=False)
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
    is_ours = rows.hold(connection, question.lane, question.run)
    for finished in question.finished:
        _finish(connection, finished, now)
    if not is_ours:
        return Answer(None if question.busy else Ended())
    webhook = rows.find_webhook(connection, question.lane)
    has_paused = _pause_if_given_up(connection, webhook, question.finished, policy, now)
    if _is_off(webhook):
        rows.cancel_waiting(connection, webhook.id, WEBHOOK_OFF, now)
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
        if not rows.hold(connection, lane, run):
            return None
        webhook = rows.find_webhook(connection, lane)
        if _is_off(webhook) or webhook.paused_at is not None:
            return None
        if rows.find_delivery(connection, delivery_id).status != DeliveryStatus.PENDING:
            return None
        secrets = _secrets(connection, webhook, policy, now)
        return None if secrets is None else _begin(connection, delivery_id, webhook, secrets, now)


def postpone(engine: sa.Engine, delivery_id: str, until: datetime, missing_since: datetime) -> None:
    """Let a delivery wait for its text. That counts as no attempt, and it keeps its place."""
    values = {"next_attempt_at": until, "text_missing_since": missing_since}
    is_waiting = sa.and_(deliveries.c.id == delivery_id, deliveries.c.status == DeliveryStatus.PENDING)
    with engine.begin() as connection:
        connection.execute(sa.update(deliveries).where(is_waiting).values(values))


def _rest(connection: sa.Connection, question: Question, look_at: datetime | None) -> Ended | None:
    """End the run, unless something of it is under way."""
    if question.busy:
        return None
    rows.end_run(connection, question.lane, question.run, look_at)
    return Ended(look_at)


def _begin_next(
    connection: sa.Connection, question: Question, webhook: Row, policy: DeliveryPolicy, now: datetime
) -> Answer:
    pauses, width = policy.pauses[Schedule(webhook.schedule)], webhook.max_in_flight
    # One more than may be under way: so many at most keep their place.
    waiting = rows.candidates(connection, question.lane, width + 1, now)
    choice = choose(waiting, question.busy, width=width, pauses=pauses, now=now)
    if choice.delivery_id is None:
        passed = None if question.busy else rows.next_passed(connection, question.lane, now)
        return Answer(_rest(connection, question, min(filter(None, (choice.look_at, passed)), default=None)))
    secrets = _secrets(connection, webhook, policy, now)
    if secrets is None:
        return Answer(_rest(connection, question, now), has_paused=True)
    if webhook.include_text:
        return Answer(_text_wanted(connection, choice.delivery_id, webhook))
    return Answer(_begin(connection, choice.delivery_id, webhook, secrets, now))


def _text_wanted(connection: sa.Connection, delivery_id: str, webhook: Row) -> TextWanted:
    row = rows.find_delivery(connection, delivery_id)
    ref = MessageRef(row.address, row.message_id, row.locator)
    return TextWanted(delivery_id, webhook.account_id, ref, row.text_missing_since, webhook.max_in_flight)


def _begin(
    connection: sa.Connection, delivery_id: str, webhook: Row, secrets: tuple[str, ...], now: datetime
) -> BegunAttempt:
    row = rows.find_delivery(connection, delivery_id)
    return BegunAttempt(
        delivery_id,
        rows.begin_attempt(connection, delivery_id, now),
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
    ended = {"finished_at": now, "status_code": outcome.status, "error": decision.error, "answer": outcome.answer_text}
    rows.finish_attempt(connection, begun.delivery_id, begun.number, ended)
    waits = decision.status is DeliveryStatus.PENDING
    values = {
        "status": decision.status,
        "attempts": begun.attempt,
        "next_attempt_at": now + timedelta(seconds=decision.wait_seconds) if waits else None,
        "finished_at": None if waits else now,
        "last_status_code": outcome.status,
        "last_error": decision.error,
        "last_answer": outcome.answer_text,
    }
    rows.finish_delivery(connection, begun.delivery_id, values)


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


def _is_off(webhook: Row) -> bool:
    return not webhook.enabled or webhook.removed_at is not None
