"""Whether the gateway can do its work: what `/readyz` says, part by part and without a name of anything."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import sqlalchemy as sa
import structlog

from satchel.gateway.store.database import Store, read_something
from satchel.mail.source import MailSource, SourceError

PROBE_TIMEOUT_SECONDS = 2.0
PROBE_EVERY_SECONDS = 5.0

Checks = Callable[[], Mapping[str, bool]]

log = structlog.get_logger(__name__)


class Probe:
    """Asks one part now and then whether it answers, and logs when that has changed.

    However often it is asked itself, the part is asked once in `PROBE_EVERY_SECONDS`; who asks meanwhile waits for the
    same answer, or gets the last one. `part` begins the names of its events in the log, `ids` are in them.
    """

    def __init__(
        self,
        part: str,
        ask: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
        **ids: str,
    ) -> None:
        self._part = part
        self._ask_part = ask
        self._clock = clock
        self._ids = ids
        self._asked_at: float | None = None
        self._asking: asyncio.Task[bool] | None = None
        self._is_answering = True

    async def look(self) -> bool:
        """Whether the part answers, as of a few seconds ago at most."""
        now = self._clock()
        if self._asking is None and (self._asked_at is None or now - self._asked_at >= PROBE_EVERY_SECONDS):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            # Whoever leaves meanwhile does not take the answer from the others.
            return await asyncio.shield(self._asking)
        return self._is_answering

    async def _ask(self) -> bool:
        error: Exception | None = None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._ask_part()
        except (SourceError, sa.exc.SQLAlchemyError, OSError) as trouble:
            error = trouble
        finally:
            self._asking = None
        if self._is_answering != (error is None):
            self._is_answering = error is None
            self._tell(error)
        return self._is_answering

    def _tell(self, error: Exception | None) -> None:
        if error is None:
            log.info(f"{self._part}_answers_again", **self._ids)
        else:
            log.warning(f"{self._part}_does_not_answer", **self._ids, error=type(error).__name__)


def source_probe(account_id: str, source: MailSource) -> Probe:
    """Of an account's mail source."""
    return Probe("source", source.mailboxes, account_id=account_id)


class Readiness:
    """All checks together. `further` are those that cost nothing to ask."""

    def __init__(self, store: Store, sources: Sequence[Probe], further: Sequence[Checks] = ()) -> None:
        self._store = Probe("store", lambda: store.call(read_something))
        self._sources = sources
        self._further = further

    async def checks(self) -> dict[str, bool]:
        """Each check by its name, and whether all is well there.

        `sources` fails when no account's source answers: one that is down must not take the others' gateway away.
        """
        store, *answers = await asyncio.gather(self._store.look(), *(source.look() for source in self._sources))
        found = {"store": store, "sources": any(answers)}
        for checks in self._further:
            found |= checks()
        return found
