"""What is told of a run: its state, one page of its rows, and the links to go on by. Pure (contract section 11)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from satchel.contract.errors import ErrorDetail, Link, Reason
from satchel.contract.reports import Result, ResultEnvelope, ResultLinks, RunStatus
from satchel.contract.routes import REPORT_RESULTS
from satchel.gateway.reports.parameters import PageAsked
from satchel.gateway.store.report_rows import ReportRow
from satchel.gateway.store.reports import Run

RESULTS_LIVE = timedelta(hours=24)
# A run that has taken so long will not end: nobody works on it, or the database fails for good.
GIVEN_UP_AFTER = timedelta(hours=1)


def result_envelope(
    run: Run, rows: Sequence[ReportRow], page: PageAsked, base_url: str, now: datetime
) -> ResultEnvelope:
    """The answer about a run. `base_url` is the gateway's as the client knows it, without a path."""
    status = state_of(run, now)
    links = _links(run, rows, page, base_url)
    if status is RunStatus.DONE:
        is_open = run.end > run.cutoff_at
        # As coarse as the instants of a report, so that it can be the start of the next one.
        cutoff = run.cutoff_at.replace(microsecond=0) if is_open else msgspec.UNSET
        result = Result(data=list(rows), total=run.total, data_cutoff_timestamp=cutoff)
        return ResultEnvelope(links=links, status=status, progress=100, result=result)
    if status is RunStatus.ERROR:
        error = ErrorDetail("500", "The report could not be made. Begin it again.", Reason.INTERNAL)
        return ResultEnvelope(links=links, status=status, progress=run.progress, error=error)
    return ResultEnvelope(links=links, status=status, progress=run.progress, result=Result())


def state_of(run: Run, now: datetime) -> RunStatus:
    """A run's status; one that has taken too long has failed, also where nobody could write that down."""
    if run.status is RunStatus.RUNNING and run.created_at <= now - GIVEN_UP_AFTER:
        return RunStatus.ERROR
    return run.status


def _links(run: Run, rows: Sequence[ReportRow], page: PageAsked, base_url: str) -> ResultLinks:
    path = base_url + REPORT_RESULTS.url(run_id=run.run_id)

    def link(to: PageAsked) -> Link:
        return Link(f"{path}?{to.query()}", "GET")

    before, after = _neighbours(run, rows, page)
    return ResultLinks(
        self_=link(page),
        origin=Link(base_url + run.origin, "POST", msgspec.Raw(run.body)),
        next=None if after is None else link(after),
        prev=None if before is None else link(before),
    )


def _neighbours(run: Run, rows: Sequence[ReportRow], page: PageAsked) -> tuple[PageAsked | None, PageAsked | None]:
    """The pages before and behind this one, where they have rows."""
    if run.status is not RunStatus.DONE or run.first_row_id is None or run.last_row_id is None:
        return None, None
    if rows:
        first, last = rows[0].id, rows[-1].id
    elif page.ending_before is not None:
        # Before the first row.
        first, last = run.first_row_id, run.first_row_id - 1
    else:
        first, last = run.last_row_id + 1, run.last_row_id
    before = PageAsked(page.max_rows, ending_before=first) if first > run.first_row_id else None
    after = PageAsked(page.max_rows, starting_after=last) if last < run.last_row_id else None
    return before, after
