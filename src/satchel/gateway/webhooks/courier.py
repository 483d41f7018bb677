"""One attempt at a delivery: the text it is to carry, the POST, and what follows from how that ended."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import sqlalchemy as sa
import structlog

from satchel.gateway.store.attempts import BegunAttempt, DeliveryPolicy, Finished, TextWanted, postpone, take_up
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.webhooks.decision import DeliveryStatus, Outcome, decide, text_wait_seconds
from satchel.gateway.webhooks.payload import message_event
from satchel.mail.source import MessageRef, SourceError, SourceUnavailable
from satchel.process.logs import error_place

# A defect of ours, which must not keep what comes behind in its lane from being delivered.
DEFECT = "internal"

log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Where bodies go out."""

    async def post(self, url: str, secrets: Sequence[str], body: bytes, *, webhook_id: str) -> Outcome:
        """How the POST ended; raises nothing but cancellation."""
        ...


class Texts(Protocol):
    """Where the texts of messages come from."""

    async def text(self, account_id: str, message: MessageRef, max_characters: int) -> str | None:
        """The text, None where there is none. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class CourierOptions:
    """`jitter` draws from 0 to 1; `on_attempt` is told what a delivery has become by each attempt."""

    max_text_characters: int
    jitter: Callable[[], float] = random.random
    on_attempt: Callable[[DeliveryStatus], None] | None = None


class Courier:
    """Makes attempts that the store has begun, or begins them once the text of the message is there."""

    def __init__(
        self, store: Store, sender: Sender, texts: Texts, policy: DeliveryPolicy, options: CourierOptions
    ) -> None:
        self._store = store
        self._sender = sender
        self._texts = texts
        self._policy = policy
        self._options = options

    async def attempt(self, lane: Lane, run: int, step: BegunAttempt | TextWanted) -> Finished | None:
        """How the attempt ended and what follows, which is not written down yet; None where none was made."""
        begun, body_text = (step, None) if isinstance(step, BegunAttempt) else await self._taken_up(lane, run, step)
        if begun is None:
            return None
        outcome = await self._post(begun, body_text)
        pauses = self._policy.pauses[begun.schedule]
        decision = decide(outcome, begun.attempt, pauses=pauses, jitter=self._options.jitter(), now=datetime.now(UTC))
        if self._options.on_attempt is not None:
            self._options.on_attempt(decision.status)
        log.info(
            "delivery_attempted",
            delivery_id=begun.delivery_id,
            webhook_id=begun.webhook_id,
            attempt=begun.attempt,
            status=decision.status.value,
            status_code=outcome.status,
            error=decision.error,
        )
        return Finished(begun, outcome, decision)

    async def _post(self, begun: BegunAttempt, body_text: str | None) -> Outcome:
        try:
            event = message_event(begun.message, begun.mailbox, body_text=body_text, custom_fields=begun.custom_fields)
            body = msgspec.json.encode(event)
            return await self._sender.post(begun.url, begun.secrets, body, webhook_id=begun.delivery_id)
        except Exception as defect:  # noqa: BLE001 - a row that meets a defect has to end, too
            _log_defect(begun.delivery_id, defect)
            return Outcome(error=DEFECT)

    async def _taken_up(self, lane: Lane, run: int, wanted: TextWanted) -> tuple[BegunAttempt | None, str | None]:
        """The attempt, once it has begun, and the text; None where it is not to be made now."""
        try:
            is_ready, text = await self._text(wanted)
            begun = await self._store.call(take_up, lane, run, wanted.delivery_id, self._policy) if is_ready else None
        except (sa.exc.SQLAlchemyError, OSError) as error:
            # Nothing was begun. The run asks again, which waits until the database is well.
            log.warning("deliveries_interrupted", webhook_id=lane.webhook_id, error=type(error).__name__)
            return None, None
        return begun, text

    async def _text(self, wanted: TextWanted) -> tuple[bool, str | None]:
        """Whether the attempt can be made, and the text; else the delivery is postponed."""
        try:
            text = await self._texts.text(wanted.account_id, wanted.message, self._options.max_text_characters)
        except SourceError as error:
            if not error.transient:
                return True, None
            return await self._go_without(wanted, error), None
        except Exception as defect:  # noqa: BLE001 - a message that nobody can read has to be told of, too
            _log_defect(wanted.delivery_id, defect)
            return True, None
        return True, text

    async def _go_without(self, wanted: TextWanted, error: SourceError) -> bool:
        """Whether a text that the mail server does not give has been waited for long enough."""
        now = datetime.now(UTC)
        since = wanted.missing_since or now
        retry_after = error.retry_after_seconds if isinstance(error, SourceUnavailable) else None
        wait_seconds = text_wait_seconds((now - since).total_seconds(), retry_after)
        log.info(
            "delivery_without_text" if wait_seconds is None else "delivery_postponed",
            delivery_id=wanted.delivery_id,
            error=type(error).__name__,
        )
        if wait_seconds is None:
            return True
        await self._store.call(postpone, wanted.delivery_id, now + timedelta(seconds=wait_seconds), since)
        return False


def _log_defect(delivery_id: str, defect: Exception) -> None:
    """Without its message, which could hold anything."""
    log.error("delivery_defect", delivery_id=delivery_id, error=type(defect).__name__, where=error_place(defect))
