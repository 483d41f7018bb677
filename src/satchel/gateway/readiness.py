"""Whether the gateway can do its work: what `/readyz` says, part by part and without a name of anything."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store, is_reachable
from satchel.mail.source import MailSource, SourceError

PROBE_TIMEOUT_SECONDS = 2.0
PROBE_EVERY_SECONDS = 5.0

Checks = Callable[[], Mapping[str, bool]]

log = structlog.get_logger(__name__)


class SourceProbe:
    """Asks one mail source now and then whether it answers.

    However often it is asked itself, the source is asked once in `PROBE_EVERY_SECONDS`; who asks meanwhile waits for
    the same answer, or gets the last one.
    """

    def __init__(self, account_id: str, source: MailSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._account_id = account_id
        self._source = source
        self._clock = clock
        self._asked_at: float | None = None
        self._asking: asyncio.Task[bool] | None = None
        self.is_answering = True

    async def look(self) -> bool:
        """Whether the source answers, as of a few seconds ago at most."""
        now = self._clock()
        if self._asking is None and (self._asked_at is None or now - self._asked_at >= PROBE_EVERY_SECONDS):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            # Whoever leaves meanwhile does not take the answer from the others.
            return await asyncio.shield(self._asking)
        return self.is_answering

    async def _ask(self) -> bool:
        error: Exception | None = None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._source.mailboxes()
        except (SourceError, OSError) as trouble:
            error = trouble
        finally:
            self._asking = None
        if self.is_answering != (error is None):
            self.is_answering = error is None
            self._tell(error)
        return self.is_answering

    def _tell(self, error: Exception | None) -> None:
        if error is None:
            log.info("source_answers_again", account_id=self._account_id)
        else:
            log.warning("source_does_not_answer", account_id=self._account_id, error=type(error).__name__)


class Readiness:
    """All checks together. `further` are those that cost nothing to ask."""

    def __init__(self, store: Store, probes: Sequence[SourceProbe], further: Sequence[Checks] = ()) -> None:
        self._store = store
        self._probes = probes
        self._further = further

    async def checks(self) -> dict[str, bool]:
        """Each check by its name, and whether all is well there.

        `sources` fails when no account's source answers: one that is down must not take the others' gateway away.
        """
        store, *answers = await asyncio.gather(self._store_answers(), *(probe.look() for probe in self._probes))
        found = {"store": store, "sources": any(answers)}
        for checks in self._further:
            found |= checks()
        return found

    async def _store_answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                return await self._store.call(is_reachable)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("store_does_not_answer", error=type(error).__name__)
            return False
