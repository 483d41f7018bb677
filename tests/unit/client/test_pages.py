"""What is made of the answers of this API and of its neighbour, which leaves out and adds."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from satchel.client.pages import decode_mailboxes, decode_page
from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.reports import RunStatus

ROW: dict[str, Any] = {"id": 7, "messageId": "AAMk="}


def encoded(row: dict[str, Any] | None = None, **envelope: Any) -> bytes:
    rows = [] if row is None else [row]
    return json.dumps({"status": "done", "result": {"data": rows, "total": 1}, **envelope}).encode()


def test_a_whole_row() -> None:
    someone = {"emailAddress": {"name": "Ada", "address": "ada@example.org"}}
    row = {
        **ROW,
        "internetMessageId": "<1@x>",
        "conversationId": "c",
        "mailboxId": "b",
        "received": "2026-01-02T03:04:05Z",
        "sender": someone,
        "from": someone,
        "subject": "Invoice",
        "hasAttachments": True,
        "to": [someone],
        "cc": [],
    }
    (found,) = decode_page(encoded(row)).rows
    assert msgspec.to_builtins(found) == row


def test_gaps_are_filled_and_what_is_unknown_is_left_out() -> None:
    nulls = dict.fromkeys(
        [
            "messageId",
            "internetMessageId",
            "conversationId",
            "received",
            "sender",
            "from",
            "subject",
            "hasAttachments",
            "to",
        ]
    )
    for row in (ROW, ROW | nulls, ROW | {"owner": {"id": 5}, "received": "yesterday", "subject": 5, "to": "x"}):
        (found,) = decode_page(encoded(row)).rows
        assert (found.id, found.message_id, found.subject) == (7, row["messageId"] or "", "")
        assert not found.has_attachments
        assert (found.sender, found.received) == (Recipient(), datetime(1970, 1, 1, tzinfo=UTC))
        assert found.to is msgspec.UNSET


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"emailAddress": {"name": "A", "address": "a@x"}}, EmailAddress("A", "a@x")),
        ({"name": "A", "address": "a@x"}, EmailAddress("A", "a@x")),
        ("a@x", EmailAddress("", "a@x")),
        ({"emailAddress": {"name": None}}, EmailAddress()),
        ({"emailAddress": None}, EmailAddress()),
        (5, EmailAddress()),
    ],
)
def test_senders_in_every_shape(told: object, known: EmailAddress) -> None:
    (found,) = decode_page(encoded(ROW | {"from": told})).rows
    assert found.from_.email_address == found.sender.email_address == known


@pytest.mark.parametrize("cursor", [10027, "10027"])
def test_cursors_are_numbers_also_as_text(cursor: object) -> None:
    assert decode_page(encoded(ROW | {"id": cursor})).rows[0].id == 10027


@pytest.mark.parametrize(
    "row",
    [{}, {"messageId": "x"}, *(ROW | {"id": wrong} for wrong in (None, "x", "", -1, 2**63, "9" * 30, 1.5))],
)
def test_rows_without_their_cursor_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no answer of this API"):
        decode_page(encoded(row))


@pytest.mark.parametrize(
    ("status", "known"),
    [("running", RunStatus.RUNNING), ("done", RunStatus.DONE), ("error", RunStatus.ERROR)]
    + [(other, RunStatus.RUNNING) for other in ("queued", "", "DONE")],
)
def test_a_status_that_is_not_known_counts_as_running(status: str, known: RunStatus) -> None:
    assert decode_page(encoded(status=status)).status is known


def test_links_progress_and_why_it_failed() -> None:
    page = decode_page(
        encoded(
            _links={"self": {"href": "/a", "method": "GET"}, "next": {"href": "/b"}, "prev": None, "origin": 5},
            progress=250,
            error={"code": "500", "message": "No.", "reason": "internal"},
        ),
        9.0,
    )
    assert (page.self_href, page.next_href, page.progress) == ("/a", "/b", 100)
    assert (page.message, page.reason, page.retry_after_seconds) == ("No.", "internal", 9.0)


@pytest.mark.parametrize("bare", [{}, {"result": None, "_links": None, "error": None}, {"progress": "half"}])
def test_an_envelope_may_say_little(bare: dict[str, Any]) -> None:
    page = decode_page(json.dumps({"status": "error", **bare}).encode())
    assert (page.rows, page.self_href, page.next_href, page.progress, page.message) == ([], None, None, 0, "")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"status": 5}', b"\xff", b'{"status":"done"' * 9999])
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no answer of this API"):
        decode_page(body)


def test_mailboxes_with_and_without_all_that_may_be_said_of_them() -> None:
    whole = {
        "mailboxId": "1",
        "mailboxName": "Sales",
        "mailboxEmail": "sales@example.com",
        "active": False,
        "timeZone": "America/Toronto",
        "users": [{"userId": "u"}],
        "tags": [{"tagId": "t"}],
    }
    bare = {"mailboxId": "2", "mailboxEmail": "b@example.com", "mailboxName": None, "active": None, "new": 1}
    first, second = decode_mailboxes(json.dumps({"mailboxes": [whole, bare]}).encode())
    assert msgspec.to_builtins(first) == whole
    assert (second.mailbox_name, second.active, second.time_zone) == ("b@example.com", True, "UTC")


@pytest.mark.parametrize("body", [b"{}", b'{"mailboxes": [{}]}', b'{"mailboxes": null}', b"<html>"])
def test_what_is_no_list_of_mailboxes_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no answer of this API"):
        decode_mailboxes(body)
