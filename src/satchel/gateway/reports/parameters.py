"""What a report's calls ask for: their query parameters and their body, read and judged without I/O.

Contract section 11. A wrong one is named, with what was found and what is accepted; one that is not known is tolerated.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from satchel.contract.errors import BadRequest
from satchel.contract.reports import DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS, ActivityType, FieldGroup

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 12, 31, tzinfo=UTC)
# Each report is kept with its query for a day.
_MAX_QUERY_BYTES = 4096
_MAX_CURSOR = 2**63 - 1
_DIGITS = re.compile(r"[0-9]{1,19}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z?")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_SHOWN_CHARACTERS = 60

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Which rows of a result: those behind one cursor, or before the other. At most one of the two is there."""

    max_rows: int = DEFAULT_PAGE_ROWS
    starting_after: int | None = None
    ending_before: int | None = None

    def query(self) -> str:
        """As the links of a result say it."""
        after = "" if self.starting_after is None else f"&starting_after={self.starting_after}"
        before = "" if self.ending_before is None else f"&ending_before={self.ending_before}"
        return f"max={self.max_rows}{after}{before}"


@dataclass(frozen=True, slots=True)
class ReportAsked:
    """What a report is to tell: what happened in a mailbox between two instants, both included; with what, and from
    which page on."""

    mailbox_id: str
    activity: ActivityType
    start: datetime = EARLIEST
    end: datetime = LATEST
    with_participants: bool = False
    page: PageAsked = PageAsked()


def read_query(query_string: bytes) -> Query:
    """The parameters of a query, each with all its values. Raises BadRequest."""
    if len(query_string) > _MAX_QUERY_BYTES:
        raise BadRequest(f"The query is too long: at most {_MAX_QUERY_BYTES // 1024} KiB are read.")
    return parse_qs(query_string.decode("latin-1"), keep_blank_values=True)


def is_id(text: str) -> bool:
    """Whether this can be the id of a mailbox or a run; what cannot be is as unknown as what is not there."""
    return _ID.fullmatch(text) is not None


def read_page(query: Query) -> PageAsked:
    """Which page is asked for. Raises BadRequest."""
    after, before = _cursor(query, "starting_after"), _cursor(query, "ending_before")
    if after is not None and before is not None:
        raise BadRequest("starting_after and ending_before exclude each other: send one of them, or none.")
    return PageAsked(_max_rows(query), after, before)


def read_report(query: Query, body: bytes) -> ReportAsked:
    """What a report's POST asks for. Raises BadRequest."""
    page, groups = read_page(query), _field_groups(query)
    # It would add people's names, and Satchel knows no users.
    details = _only(query, "includeDetails")
    if details is not None and details.lower() not in {"true", "false"}:
        raise _refused("includeDetails", details, "true or false")
    return _report(_parameters(body), page, with_participants=FieldGroup.PARTICIPANTS in groups)


def _field_groups(query: Query) -> frozenset[FieldGroup]:
    names = ",".join(query.get("fieldGroup", [FieldGroup.BASIC])).split(",")
    known = {group.value for group in FieldGroup}
    for name in names:
        if name.strip() not in known:
            raise _refused("fieldGroup", name, f"one or more of {_listed(FieldGroup)}, with commas between them")
    return frozenset(FieldGroup(name.strip()) for name in names)


def _parameters(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequest('The body is no JSON. Send {"parameters": {"mailboxId": "…", …}}.') from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    if not isinstance(given, dict):
        raise _refused("The body", given, 'an object: {"parameters": {"mailboxId": "…", …}}')
    parameters = given.get("parameters")
    if not isinstance(parameters, dict):
        raise _refused("parameters", parameters, 'an object: {"mailboxId": "…", "activityType": "received"}')
    return parameters


def _report(parameters: Mapping[str, Any], page: PageAsked, *, with_participants: bool) -> ReportAsked:
    mailbox_id = parameters.get("mailboxId")
    if not isinstance(mailbox_id, str) or not mailbox_id:
        raise _refused("parameters.mailboxId", mailbox_id, "a mailbox's id, as GET /api/v1/admin/mailboxes tells it")
    activity = parameters.get("activityType")
    if not isinstance(activity, str) or activity not in {known.value for known in ActivityType}:
        raise _refused("parameters.activityType", activity, f"one of {_listed(ActivityType)}")
    statuses = parameters.get("statuses")
    if statuses is not None and not (isinstance(statuses, list) and all(isinstance(each, str) for each in statuses)):
        raise _refused("parameters.statuses", statuses, "a list of strings")
    start = _instant(parameters, "activityStart", EARLIEST)
    end = _instant(parameters, "activityEnd", LATEST)
    if start > end:
        raise BadRequest("parameters.activityStart is later than parameters.activityEnd: send the earlier one first.")
    return ReportAsked(mailbox_id, ActivityType(activity), start, end, with_participants, page)


def _instant(parameters: Mapping[str, Any], name: str, default: datetime) -> datetime:
    value = parameters.get(name)
    if value is None:
        return default
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value.removesuffix("Z")).replace(tzinfo=UTC)
        except ValueError:
            # A day or an hour that there is not.
            pass
    raise _refused(f"parameters.{name}", value, "an instant in UTC, YYYY-MM-DDTHH:MM:SS with or without Z behind it")


def _max_rows(query: Query) -> int:
    text = _only(query, "max")
    if text is None:
        return DEFAULT_PAGE_ROWS
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_PAGE_ROWS:
        raise _refused("max", text, f"a whole number from 1 to {MAX_PAGE_ROWS}")
    return int(text)


def _cursor(query: Query, name: str) -> int | None:
    text = _only(query, name)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or int(text) > _MAX_CURSOR:
        raise _refused(name, text, "the id of a row, a whole number")
    return int(text)


def _only(query: Query, name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise BadRequest(f"{name} is there {len(values)} times: send it once.")
    return values[0] if values else None


def _refused(name: str, found: object, accepted: str) -> BadRequest:
    if found is None:
        return BadRequest(f"{name} is missing: {accepted} is expected.")
    return BadRequest(f"{name} is {_shown(found)}: {accepted} is expected.")


def _shown(found: object) -> str:
    """As JSON, and not all of what is long or nested."""
    if isinstance(found, dict | list):
        return "an object" if isinstance(found, dict) else "a list"
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _listed(values: type[ActivityType] | type[FieldGroup]) -> str:
    return ", ".join(value.value for value in values)
