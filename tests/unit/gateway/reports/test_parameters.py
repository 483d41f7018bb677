"""What a report's calls ask for: what is accepted, and what is said of the rest."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.errors import BadRequest
from satchel.contract.reports import ActivityType
from satchel.gateway.reports.parameters import (
    EARLIEST,
    LATEST,
    PageAsked,
    ReportAsked,
    is_id,
    read_page,
    read_query,
    read_report,
)

MAILBOX_ID = "3f2a7c1e-5b0d-4e8a-9c64-1d7f0b2e8a55"
START = datetime(2026, 1, 5, 8, 30, 59, tzinfo=UTC)


def body(**parameters: Any) -> bytes:
    known = {"mailboxId": MAILBOX_ID, "activityType": "received"}
    given = {name: value for name, value in (known | parameters).items() if value is not ...}
    return json.dumps({"parameters": given}).encode()


def report(query: str = "", content: bytes | None = None, **parameters: Any) -> ReportAsked:
    return read_report(read_query(query.encode("latin-1")), body(**parameters) if content is None else content)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", PageAsked()),
        ("max=1", PageAsked(1)),
        ("max=500&starting_after=0", PageAsked(500, starting_after=0)),
        ("ending_before=9223372036854775807", PageAsked(50, ending_before=2**63 - 1)),
        ("max=050&page=7&max_=x&%FF=%00", PageAsked()),
    ],
)
def test_pages(query: str, expected: PageAsked) -> None:
    assert read_page(read_query(query.encode())) == expected


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("max=0", 'max is "0": a whole number from 1 to 500 is expected.'),
        ("max=501", 'max is "501": a whole number from 1 to 500 is expected.'),
        ("max=", 'max is "": a whole number from 1 to 500 is expected.'),
        ("max=+5", 'max is " 5": a whole number from 1 to 500 is expected.'),
        ("max=5.0", 'max is "5.0": a whole number from 1 to 500 is expected.'),
        ("max=-1", 'max is "-1": a whole number from 1 to 500 is expected.'),
        ("max=%D9%A5", 'max is "٥": a whole number from 1 to 500 is expected.'),
        ("max=1&max=2", "max is there 2 times: send it once."),
        ("starting_after=abc", 'starting_after is "abc": the id of a row, a whole number is expected.'),
        ("starting_after=-1", 'starting_after is "-1": the id of a row, a whole number is expected.'),
        ("ending_before=9223372036854775808", 'ending_before is "9223372036854775808": the id of a row, a whole'),
        ("starting_after=1&ending_before=2", "starting_after and ending_before exclude each other: send one of them"),
    ],
)
def test_wrong_pages_are_told_what_is_right(query: str, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_page(read_query(query.encode()))
    assert refused.value.message.startswith(told)
    assert (refused.value.status, refused.value.reason) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, (EARLIEST, LATEST)),
        ({"activityStart": "2026-01-05T08:30:59Z"}, (START, LATEST)),
        ({"activityStart": "2026-01-05T08:30:59", "activityEnd": "2026-01-05T08:30:59Z"}, (START, START)),
        ({"activityStart": None, "activityEnd": None, "statuses": None}, (EARLIEST, LATEST)),
        ({"statuses": ["open", "anything"], "ownerIds": {"a": 1}}, (EARLIEST, LATEST)),
    ],
)
def test_reports(parameters: dict[str, Any], expected: tuple[datetime, datetime]) -> None:
    assert report(**parameters) == ReportAsked(MAILBOX_ID, ActivityType.RECEIVED, *expected)


@pytest.mark.parametrize(
    ("query", "with_participants"),
    [
        ("", False),
        ("fieldGroup=basic", False),
        ("fieldGroup=participants", True),
        ("fieldGroup=basic,participants&includeDetails=True", True),
        ("fieldGroup=basic&fieldGroup=participants", True),
        ("fieldGroup=participants,%20participants&includeDetails=false", True),
    ],
)
def test_field_groups(query: str, with_participants: bool) -> None:
    assert report(query).with_participants is with_participants


@pytest.mark.parametrize("activity", ["received", "replied", "closed"])
def test_activities(activity: str) -> None:
    assert report(activityType=activity).activity == activity


INSTANT = "an instant in UTC, YYYY-MM-DDTHH:MM:SS with or without Z behind it is expected."


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"mailboxId": ...}, "parameters.mailboxId is missing: a mailbox's id"),
        ({"mailboxId": ""}, 'parameters.mailboxId is "": a mailbox\'s id'),
        ({"mailboxId": 7}, "parameters.mailboxId is 7: a mailbox's id"),
        ({"mailboxId": ["a"]}, "parameters.mailboxId is a list: a mailbox's id"),
        ({"activityType": ...}, "parameters.activityType is missing: one of received, replied, closed is expected."),
        ({"activityType": "Received"}, 'parameters.activityType is "Received": one of'),
        ({"activityType": True}, "parameters.activityType is true: one of"),
        ({"activityStart": "2026-01-05"}, f'parameters.activityStart is "2026-01-05": {INSTANT}'),
        ({"activityStart": "2026-01-05T08:30:59+01:00"}, "parameters.activityStart is"),
        ({"activityStart": "2026-01-05T08:30:59.5Z"}, "parameters.activityStart is"),
        ({"activityStart": "2026-01-05 08:30:59Z"}, "parameters.activityStart is"),
        ({"activityStart": "2026-02-30T00:00:00Z"}, "parameters.activityStart is"),
        ({"activityStart": "2026-01-05T24:00:00Z"}, "parameters.activityStart is"),
        ({"activityStart": "0000-01-05T00:00:00Z"}, "parameters.activityStart is"),
        ({"activityEnd": "٢٠٢٦-01-05T00:00:00Z"}, "parameters.activityEnd is"),
        ({"activityEnd": 1767600000}, f"parameters.activityEnd is 1767600000: {INSTANT}"),
        ({"activityEnd": 10**25}, f"parameters.activityEnd is {10**25}: {INSTANT}"),
        ({"activityEnd": "x" * 70_000}, f'parameters.activityEnd is "{"x" * 59}…: {INSTANT}'),
        (
            {"activityStart": "2026-01-06T00:00:00", "activityEnd": "2026-01-05T23:59:59"},
            "parameters.activityStart is l",
        ),
        ({"statuses": "open"}, 'parameters.statuses is "open": a list of strings is expected.'),
        ({"statuses": ["open", 1]}, "parameters.statuses is a list: a list of strings is expected."),
    ],
)
def test_wrong_reports_are_told_what_is_right(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        report(**parameters)
    assert refused.value.message.startswith(told)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("fieldGroup=replyData", 'fieldGroup is "replyData": one or more of basic, participants, with commas between'),
        ("fieldGroup=", 'fieldGroup is "": one or more'),
        ("fieldGroup=basic,", 'fieldGroup is "": one or more'),
        ("includeDetails=yes", 'includeDetails is "yes": true or false is expected.'),
        ("includeDetails=true&includeDetails=true", "includeDetails is there 2 times: send it once."),
        ("max=0", 'max is "0"'),
    ],
)
def test_wrong_queries_of_reports_are_told_what_is_right(query: str, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        report(query)
    assert refused.value.message.startswith(told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The body is no JSON."),
        (b"{", "The body is no JSON."),
        (b"\xff", "The body is no JSON."),
        (b"\xef\xbb\xbf{}", "The body is no JSON."),
        (b'{"parameters": {"a": "\\ud800"}}', "The body is no JSON."),
        (b'{"parameters": {"a": 1e400}}', "The body is no JSON."),
        (b'{"parameters": {"a": ' + b"9" * 5000 + b"}}", "The body is no JSON."),
        (b"[" * 30_000, "The body is nested too deeply."),
        (b'{"parameters":' * 4_000, "The body is nested too deeply."),
        (b"[]", "The body is a list: an object"),
        (b'"' + b"x" * 60_000 + b'"', 'The body is "xxx'),
        (b"{}", "parameters is missing: an object"),
        (b'{"parameters": null}', "parameters is missing: an object"),
        (b'{"parameters": [1]}', "parameters is a list: an object"),
    ],
)
def test_bodies_that_are_none(content: bytes, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        report(content=content)
    assert refused.value.message.startswith(told)
    assert len(refused.value.message) < 300


def test_what_is_said_twice_counts_as_it_was_said_last() -> None:
    said = b'{"mailboxId": "a", "mailboxId": "b", "activityType": "closed", "x": "\\u0000"}'
    assert report(content=b'{"parameters": {}, "parameters": ' + said + b"}") == ReportAsked("b", ActivityType.CLOSED)


def test_ids() -> None:
    assert is_id(MAILBOX_ID)
    for other in ("", MAILBOX_ID.upper(), MAILBOX_ID + "\n", MAILBOX_ID.replace("-", ""), "\0", f"{{{MAILBOX_ID}}}"):
        assert not is_id(other)


PAGES = st.builds(PageAsked, st.integers(1, 500), st.none() | st.integers(0, 2**63 - 1))


@given(PAGES)
def test_a_page_asks_for_itself(page: PageAsked) -> None:
    assert read_page(read_query(page.query().encode())) == page


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("mailboxId", "activityType", "activityStart", "activityEnd", "statuses")
BODIES = st.binary(max_size=60) | st.builds(
    lambda values: json.dumps({"parameters": values}).encode(),
    st.dictionaries(st.sampled_from(NAMES), JSON | st.just("received") | st.just("2026-01-05T00:00:00Z")),
)
QUERIES = st.binary(max_size=40) | st.builds(
    lambda pairs: urlencode(pairs).encode(),
    st.lists(
        st.tuples(st.sampled_from(["max", "starting_after", "ending_before", "fieldGroup"]), st.text(max_size=8)),
        max_size=3,
    ),
)


@given(QUERIES, BODIES)
def test_anything_is_a_report_or_refused_in_a_line(query: bytes, content: bytes) -> None:
    said = told(query, content)
    assert isinstance(said, ReportAsked) or 0 < len(said.encode()) < 800


def told(query: bytes, content: bytes) -> ReportAsked | str:
    try:
        return read_report(read_query(query), content)
    except BadRequest as refused:
        return refused.message
