"""What keys with the scope `reporting` may ask: their mailboxes, a report, its result. Contract sections 10 and 11."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from satchel.contract.errors import NotFound, RateLimited, Reason
from satchel.contract.mailboxes import Mailbox
from satchel.contract.reports import ResultEnvelope
from satchel.gateway.access import KeyRecord
from satchel.gateway.reports.parameters import PageAsked, ReportAsked, is_id
from satchel.gateway.reports.results import GIVEN_UP_AFTER, RESULTS_LIVE, result_envelope
from satchel.gateway.store.database import Store
from satchel.gateway.store.keys import allowed_mailboxes
from satchel.gateway.store.report_rows import read_result
from satchel.gateway.store.reports import MOST_RUNNING, MailboxNotAllowed, NewRun, TooManyRuns, begin_run

# A run takes a second or two.
_RETRY_AFTER_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that begins a report, as its links repeat it: `path` is what stands behind `base_url`, `body` JSON."""

    base_url: str
    path: str
    body: str


class Reporting:
    """Answers keys that have been admitted. `on_begun` is called when there is a run to work on."""

    def __init__(
        self,
        store: Store,
        *,
        on_begun: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._on_begun = on_begun
        self._clock = clock

    async def mailboxes(self, key: KeyRecord) -> Sequence[Mailbox]:
        """The mailboxes of the key's allowlist, by address."""
        return await self._store.call(allowed_mailboxes, key.key_id)

    async def begin(self, key: KeyRecord, asked: ReportAsked, origin: Origin) -> ResultEnvelope:
        """Begin a report, which is durable then; its rows come later. Raises NotFound, RateLimited."""
        if not is_id(asked.mailbox_id):
            raise _no_mailbox()
        new = NewRun(
            run_id=str(uuid4()),
            account_id=key.account_id,
            key_id=key.key_id,
            mailbox_id=asked.mailbox_id,
            origin=origin.path,
            body=origin.body,
            with_participants=asked.with_participants,
            activity=asked.activity,
            start=asked.start,
            end=asked.end,
        )
        now = self._clock()
        try:
            run = await self._store.call(begin_run, new, now, given_up_before=now - GIVEN_UP_AFTER)
        except MailboxNotAllowed:
            raise _no_mailbox() from None
        except TooManyRuns:
            raise too_many_reports() from None
        self._on_begun()
        log.info("report_begun", run_id=run.run_id, key_id=key.key_id)
        return result_envelope(run, (), asked.page, origin.base_url, now)

    async def result(self, key: KeyRecord, run_id: str, page: PageAsked, base_url: str) -> ResultEnvelope:
        """How a report of this key stands, with a page of its rows once it is done. Raises NotFound."""
        if not is_id(run_id):
            raise _no_report()
        now = self._clock()
        found = await self._store.call(read_result, run_id, page, key_id=key.key_id, begun_after=now - RESULTS_LIVE)
        if found is None:
            raise _no_report()
        run, rows = found
        return result_envelope(run, rows, page, base_url, now)


def _no_mailbox() -> NotFound:
    return NotFound("Mailbox not found.")


def _no_report() -> NotFound:
    return NotFound("Report not found.")


def too_many_reports() -> RateLimited:
    """The refusal of a report while as many are running as may be."""
    return RateLimited(
        f"{MOST_RUNNING} reports are running already. Begin this one when one of them has ended.",
        reason=Reason.TOO_MANY_REPORTS,
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
