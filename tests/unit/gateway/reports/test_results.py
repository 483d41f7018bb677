"""The envelope of a run: where it stands, and the links to go on by."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from satchel.contract.reports import ActivityType, ReceivedMessage, ResultEnvelope, RunStatus
from satchel.gateway.reports.parameters import EARLIEST, LATEST, PageAsked
from satchel.gateway.reports.results import result_envelope
from satchel.gateway.store.report_rows import ReportRow
from satchel.gateway.store.reports import Run
from tests.unit.gateway.reports.conftest import NOW

RUN = Run(
    run_id="64cbb039-7d1e-4a6b-8f52-0c9e3a7b1d24",
    key_id="k",
    mailbox_id="m",
    status=RunStatus.DONE,
    progress=100,
    origin="/api/v1/reports/receivedMessageDetail?max=2",
    body='{"parameters": {"a": 1}}',
    with_participants=False,
    activity=ActivityType.RECEIVED,
    start=EARLIEST,
    end=LATEST,
    cutoff_at=NOW + timedelta(microseconds=7),
    cutoff_row_id=99,
    total=4,
    first_row_id=10,
    last_row_id=40,
    counted_received=NOW,
    counted_row_id=40,
    created_at=NOW,
)
SELF = f"https://host/api/v1/reports/results/{RUN.run_id}?"


def row(id_: int) -> ReportRow:
    nobody = msgspec.Raw(b'{"emailAddress": {"name": "", "address": "a@b"}}')
    return ReportRow(id_, "i", "<i>", "c", "m", NOW, nobody, nobody, "s", True)


def links(page: PageAsked, *ids: int, run: Run = RUN) -> dict[str, str]:
    envelope = result_envelope(run, [row(id_) for id_ in ids], page, "https://host", NOW)
    named = {"self": envelope.links.self_, "next": envelope.links.next, "prev": envelope.links.prev}
    return {name: link.href.removeprefix(SELF) for name, link in named.items() if link is not None}


def wire(run: Run, *ids: int) -> dict[str, Any]:
    encoded = msgspec.json.encode(result_envelope(run, [row(id_) for id_ in ids], PageAsked(2), "https://host", NOW))
    decoded: dict[str, Any] = msgspec.json.decode(encoded)
    return decoded


@pytest.mark.parametrize(
    ("page", "ids", "expected"),
    [
        (PageAsked(2), (10, 20), {"self": "max=2", "next": "max=2&starting_after=20"}),
        (
            PageAsked(2, starting_after=10),
            (20, 30),
            {"self": "max=2&starting_after=10", "next": "max=2&starting_after=30", "prev": "max=2&ending_before=20"},
        ),
        (
            PageAsked(2, starting_after=20),
            (30, 40),
            {"self": "max=2&starting_after=20", "prev": "max=2&ending_before=30"},
        ),
        (PageAsked(4), (10, 20, 30, 40), {"self": "max=4"}),
        (
            PageAsked(2, ending_before=40),
            (20, 30),
            {"self": "max=2&ending_before=40", "next": "max=2&starting_after=30", "prev": "max=2&ending_before=20"},
        ),
        # Behind the last row and before the first one there is a way back.
        (PageAsked(2, starting_after=40), (), {"self": "max=2&starting_after=40", "prev": "max=2&ending_before=41"}),
        (PageAsked(2, ending_before=10), (), {"self": "max=2&ending_before=10", "next": "max=2&starting_after=9"}),
    ],
)
def test_links(page: PageAsked, ids: tuple[int, ...], expected: dict[str, str]) -> None:
    assert links(page, *ids) == expected


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, total=0, first_row_id=None, last_row_id=None),
        replace(RUN, status=RunStatus.RUNNING),
        replace(RUN, status=RunStatus.ERROR),
    ],
)
def test_where_there_are_no_rows_there_is_nowhere_to_go(run: Run) -> None:
    assert links(PageAsked(2, starting_after=5), run=run) == {"self": "max=2&starting_after=5"}


def test_done() -> None:
    assert wire(RUN, 10) == {
        "_links": {
            "self": {"href": f"{SELF}max=2", "method": "GET"},
            "origin": {
                "href": "https://host/api/v1/reports/receivedMessageDetail?max=2",
                "method": "POST",
                "body": {"parameters": {"a": 1}},
            },
            "next": {"href": f"{SELF}max=2&starting_after=10", "method": "GET"},
        },
        "status": "done",
        "progress": 100,
        "result": {
            "data": [
                {
                    "id": 10,
                    "messageId": "i",
                    "internetMessageId": "<i>",
                    "conversationId": "c",
                    "mailboxId": "m",
                    "received": "2026-03-01T12:00:00Z",
                    "sender": {"emailAddress": {"name": "", "address": "a@b"}},
                    "from": {"emailAddress": {"name": "", "address": "a@b"}},
                    "subject": "s",
                    "hasAttachments": True,
                }
            ],
            "total": 4,
            "dataCutoffTimestamp": "2026-03-01T12:00:00Z",
        },
    }


def test_a_row_is_what_the_contract_says() -> None:
    encoded = msgspec.json.encode(row(10))
    again = msgspec.json.encode(msgspec.json.decode(encoded, type=ReceivedMessage))
    assert json.loads(again) == json.loads(encoded)
    assert ReceivedMessage.__struct_encode_fields__ == ReportRow.__struct_encode_fields__


def test_a_time_that_is_over_has_no_cutoff() -> None:
    over = wire(replace(RUN, end=NOW))
    assert "dataCutoffTimestamp" not in over["result"]


def test_running() -> None:
    running = wire(replace(RUN, status=RunStatus.RUNNING, progress=40, total=2))
    assert (running["status"], running["progress"]) == ("running", 40)
    assert running["result"] == {"data": [], "total": None}
    assert "error" not in running


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, status=RunStatus.ERROR, progress=40),
        replace(RUN, status=RunStatus.RUNNING, progress=40, created_at=NOW - timedelta(hours=1)),
    ],
)
def test_failed(run: Run) -> None:
    failed = wire(run)
    assert (failed["status"], failed["progress"], failed["error"]["code"]) == ("error", 40, "500")
    assert failed["error"]["reason"] == "internal"
    assert "result" not in failed
    assert msgspec.convert(failed, ResultEnvelope).status == "error"
