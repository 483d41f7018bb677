"""Mailboxes and reports of the fake gateway, from memory (contract sections 10 and 11): what is asked for is checked,
runs take as long as they are told, and pages are those of the rows when a run began."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid4, uuid5

import msgspec

from satchel.contract.errors import BadRequest, ErrorDetail, Link, NotFound, RateLimited, Reason
from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.mailboxes import Mailbox
from satchel.contract.reports import (
    DEFAULT_PAGE_ROWS,
    MAX_PAGE_ROWS,
    ActivityType,
    FieldGroup,
    ReceivedMessage,
    Result,
    ResultEnvelope,
    ResultLinks,
    RunStatus,
)
from satchel.contract.routes import REPORT_RESULTS

_MAX_RUNNING = 3
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?")
_FIRST = "2000-01-01T00:00:00Z"
_LAST = "2100-12-31T00:00:00Z"


@dataclass(slots=True)
class ReportBehaviour:
    """Switches that stay until they are changed.

    The first `running_answers` about a run, that of its beginning among them, say that it is running (None: all do);
    then it is done, or in error if `fails`.
    Its result is gone after `expires_after_pages` pages of it. `links_root` stands before the links' paths in place
    of the server's own address. `extra_fields` are in every row and every mailbox.
    """

    running_answers: int | None = 3
    fails: bool = False
    expires_after_pages: int | None = None
    links_root: str | None = None
    extra_fields: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """A run; `origin` is the call that began it, `asked` how often it was asked for, `pages` how many it gave."""

    origin: Link
    rows: list[ReceivedMessage]
    cutoff: datetime
    with_participants: bool
    asked: int = 0
    pages: int = 0


class _Parameters(msgspec.Struct, frozen=True, rename="camel"):
    mailbox_id: str
    activity_type: ActivityType
    activity_start: str = _FIRST
    activity_end: str = _LAST
    statuses: list[str] = []


class _Body(msgspec.Struct, frozen=True):
    parameters: _Parameters


class FakeReports:
    """`mailboxes` by id, all `rows` in the order of their ids, and the runs that were begun."""

    def __init__(self) -> None:
        self.behaviour = ReportBehaviour()
        self.mailboxes: dict[str, Mailbox] = {}
        self.rows: list[ReceivedMessage] = []
        self._runs: dict[str, _Run] = {}

    def add_mailbox(self, address: str, *, name: str = "", time_zone: str = "UTC", active: bool = True) -> Mailbox:
        """A mailbox that the key may see; the one that is there for an address that is known."""
        mailbox_id = str(uuid5(NAMESPACE_URL, f"mailto:{address.lower()}"))
        made = Mailbox(
            mailbox_id=mailbox_id,
            mailbox_name=name or address,
            mailbox_email=address.lower(),
            active=active,
            time_zone=time_zone,
        )
        return self.mailboxes.setdefault(mailbox_id, made)

    def receive(
        self,
        address: str,
        message_id: str,
        *,
        received: datetime | None = None,
        sender: str = "ada@supplier.example",
        subject: str = "",
        has_attachments: bool = True,
    ) -> ReceivedMessage:
        """Give a mailbox, made where it is missing, one more message; `received` is now unless it is told."""
        someone = Recipient(EmailAddress("", sender))
        row = ReceivedMessage(
            id=len(self.rows) + 1,
            message_id=message_id,
            internet_message_id=f"<{message_id}@supplier.example>",
            conversation_id=f"C{message_id}",
            mailbox_id=self.add_mailbox(address).mailbox_id,
            received=received or datetime.now(UTC),
            sender=someone,
            from_=someone,
            subject=subject,
            has_attachments=has_attachments,
            to=[Recipient(EmailAddress("", address))],
            cc=[],
        )
        self.rows.append(row)
        return row

    def expire(self) -> None:
        """All results are gone, as after 24 hours."""
        self._runs.clear()

    def listed(self) -> dict[str, Any]:
        """The answer of the list of mailboxes."""
        return {"mailboxes": [self._with_extras(each) for each in self.mailboxes.values()]}

    def begin(self, root: str, path_qs: str, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Begin a run. Raises BadRequest, NotFound, and RateLimited where three are running."""
        groups, page = _field_groups(query), _read_page(query)
        asked = _read_body(body)
        start, end = _instant(asked.activity_start), _instant(asked.activity_end)
        if start > end:
            raise BadRequest("activityStart is later than activityEnd.")
        if asked.mailbox_id not in self.mailboxes:
            raise NotFound("Mailbox not found.")
        if sum(1 for run in self._runs.values() if self._status(run) is RunStatus.RUNNING) >= _MAX_RUNNING:
            raise RateLimited(
                "Three reports are running already.", reason=Reason.TOO_MANY_REPORTS, retry_after_seconds=10
            )
        run_id = str(uuid4())
        rows = [
            row
            for row in self.rows
            if row.mailbox_id == asked.mailbox_id
            and start <= row.received <= end
            and asked.activity_type is ActivityType.RECEIVED
        ]
        origin = Link(f"{self._root(root)}{path_qs}", "POST", msgspec.json.decode(body))
        self._runs[run_id] = _Run(origin, rows, datetime.now(UTC), FieldGroup.PARTICIPANTS in groups)
        return self._envelope(root, run_id, page)

    def page(self, root: str, run_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Where a run stands, or a page of its rows. Raises BadRequest, and NotFound where it is gone."""
        page = _read_page(query)
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound("Report not found.")
        run.asked += 1
        if self._status(run) is RunStatus.DONE:
            run.pages += 1
            if self.behaviour.expires_after_pages is not None and run.pages > self.behaviour.expires_after_pages:
                del self._runs[run_id]
                raise NotFound("Report not found.")
        return self._envelope(root, run_id, page)

    def _status(self, run: _Run) -> RunStatus:
        running = self.behaviour.running_answers
        if running is None or run.asked < running:
            return RunStatus.RUNNING
        return RunStatus.ERROR if self.behaviour.fails else RunStatus.DONE

    def _envelope(self, root: str, run_id: str, page: "_Page") -> dict[str, Any]:
        run = self._runs[run_id]
        status = self._status(run)
        is_done = status is RunStatus.DONE
        shown, following, preceding = page.of(run.rows) if is_done else ([], None, None)
        place = f"{self._root(root)}{REPORT_RESULTS.url(run_id=run_id)}"
        envelope: dict[str, Any] = msgspec.to_builtins(
            ResultEnvelope(
                links=ResultLinks(
                    self_=Link(f"{place}?{page.query()}", "GET"),
                    origin=run.origin,
                    next=None if following is None else Link(f"{place}?{following.query()}", "GET"),
                    prev=None if preceding is None else Link(f"{place}?{preceding.query()}", "GET"),
                ),
                status=status.value,
                progress=100 if is_done else min(99, run.asked * 10),
                result=msgspec.UNSET
                if status is RunStatus.ERROR
                else Result(
                    total=len(run.rows) if is_done else None,
                    data_cutoff_timestamp=run.cutoff if is_done else msgspec.UNSET,
                ),
                error=ErrorDetail("500", "Planned by the test.", Reason.INTERNAL.value)
                if status is RunStatus.ERROR
                else msgspec.UNSET,
            )
        )
        if status is not RunStatus.ERROR:
            envelope["result"]["data"] = [self._row(each, run) for each in shown]
        return envelope

    def _row(self, row: ReceivedMessage, run: _Run) -> dict[str, Any]:
        if not run.with_participants:
            row = msgspec.structs.replace(row, to=msgspec.UNSET, cc=msgspec.UNSET)
        return self._with_extras(row)

    def _with_extras(self, value: msgspec.Struct) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(value)
        return shown | self.behaviour.extra_fields

    def _root(self, root: str) -> str:
        return root if self.behaviour.links_root is None else self.behaviour.links_root


@dataclass(frozen=True, slots=True)
class _Page:
    """Which rows are wanted: at most so many, behind a row or before one."""

    max: int
    starting_after: int | None = None
    ending_before: int | None = None

    def query(self) -> str:
        cursors = {"starting_after": self.starting_after, "ending_before": self.ending_before}
        return urlencode({"max": self.max} | {name: value for name, value in cursors.items() if value is not None})

    def of(self, rows: Sequence[ReceivedMessage]) -> tuple[list[ReceivedMessage], "_Page | None", "_Page | None"]:
        """The rows of this page, the page behind it, and the one before it."""
        if self.ending_before is not None:
            shown = [row for row in rows if row.id < self.ending_before][-self.max :]
        else:
            shown = [row for row in rows if row.id > (self.starting_after or 0)][: self.max]
        if not shown:
            return [], None, None
        following = _Page(self.max, starting_after=shown[-1].id) if shown[-1].id < rows[-1].id else None
        preceding = _Page(self.max, ending_before=shown[0].id) if shown[0].id > rows[0].id else None
        return shown, following, preceding


def _read_page(query: Mapping[str, str]) -> _Page:
    behind, before = (_number(query, name, None, 0, 2**63 - 1) for name in ("starting_after", "ending_before"))
    if behind is not None and before is not None:
        raise BadRequest("starting_after and ending_before exclude each other.")
    return _Page(_number(query, "max", DEFAULT_PAGE_ROWS, 1, MAX_PAGE_ROWS) or DEFAULT_PAGE_ROWS, behind, before)


def _number(query: Mapping[str, str], name: str, default: int | None, least: int, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise BadRequest(f"{name} is a number from {least} to {most}.")
    return int(text)


def _field_groups(query: Mapping[str, str]) -> set[FieldGroup]:
    try:
        return {FieldGroup(each) for each in query.get("fieldGroup", FieldGroup.BASIC).split(",")}
    except ValueError:
        raise BadRequest("fieldGroup names a group that is not known.") from None


def _read_body(body: bytes) -> _Parameters:
    try:
        return msgspec.json.decode(body, type=_Body).parameters
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is no request for a report: {error}") from None


def _instant(text: str) -> datetime:
    if not _INSTANT.fullmatch(text):
        raise BadRequest("An instant is written YYYY-MM-DDTHH:MM:SS[Z].")
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest("An instant lies outside the calendar.") from None
