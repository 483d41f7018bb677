"""The JSON of the contract, byte for byte as it goes out, and whatever servers send as it comes in."""

from datetime import UTC, datetime

import msgspec
import pytest

from satchel.contract.attachments import Attachment, AttachmentList, decode_attachments
from satchel.contract.errors import Link, NotFound, encode_error
from satchel.contract.events import (
    EmailAddress,
    MessageEvent,
    ReceiverAnswer,
    Recipient,
    decode_event,
    failure,
    success,
)

INVOICE = Attachment(
    id="AAMkADk5=", name="invoice.pdf", content_type="application/pdf", size=245678, attachment_type="fileAttachment"
)
RECEIVED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENDER = Recipient(EmailAddress("Ada", "ada@example.org"))
EVENT = MessageEvent(
    id="AAMk=",
    event="received",
    internet_message_id="<1@example.org>",
    received=RECEIVED,
    mailbox="invoices@example.org",
    sender=SENDER,
    from_=SENDER,
    to=[Recipient(EmailAddress("", "invoices@example.org"))],
    cc=[],
    subject="",
    has_attachments=False,
    timestamp=RECEIVED,
    conversation_id="c1",
)


def test_the_list_of_attachments() -> None:
    assert msgspec.json.encode(AttachmentList([INVOICE])) == (
        b'{"attachments":[{"id":"AAMkADk5=","name":"invoice.pdf","contentType":"application/pdf",'
        b'"size":245678,"attachmentType":"fileAttachment"}]}'
    )


def test_what_the_source_knows_is_added() -> None:
    known = msgspec.structs.replace(INVOICE, is_inline=False, content_id="c@1", last_modified=RECEIVED)
    assert msgspec.to_builtins(known) | {"id": ""} == {
        "id": "",
        "name": "invoice.pdf",
        "contentType": "application/pdf",
        "size": 245678,
        "attachmentType": "fileAttachment",
        "isInline": False,
        "contentId": "c@1",
        "lastModified": "2026-03-01T12:00:00Z",
    }
    assert decode_attachments(msgspec.json.encode(AttachmentList([known]))) == [known]


def test_gaps_and_additions_of_a_foreign_list_do_no_harm() -> None:
    body = b"""{"attachments": [
        {"id": "1", "attachmentType": "itemAttachment", "name": null, "contentType": null, "size": null, "new": {}},
        {"id": "2", "attachmentType": "fileAttachment", "name": "a", "contentType": "Text/HTML; charset=x", "size": 3,
         "isInline": "no", "lastModified": "yesterday", "contentId": 7}
    ], "more": 1}"""
    item, file = decode_attachments(body)
    assert (item.name, item.content_type, item.size, item.is_file) == ("", "application/octet-stream", 0, False)
    assert (file.content_type, file.size, file.is_file) == ("text/html", 3, True)
    assert (file.is_inline, file.last_modified, file.content_id) == (None, None, None)


@pytest.mark.parametrize(("told", "taken"), [(-1, 0), (2**63 - 1, 2**63 - 1), (2**63, 2**63 - 1), (10**40, 2**63 - 1)])
def test_a_size_that_no_file_has_is_brought_into_bounds(told: int, taken: int) -> None:
    """A database takes no more; one such row would fail the whole list of its message."""
    body = b'{"attachments": [{"id": "1", "attachmentType": "fileAttachment", "size": %d}]}' % told
    assert decode_attachments(body)[0].size == taken


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"attachments": [{}]}', b"\xff", b"[" * 60_000])
def test_no_list_is_told_as_such(body: bytes) -> None:
    with pytest.raises(ValueError, match="no list of attachments"):
        decode_attachments(body)


def test_the_error_envelope() -> None:
    link = Link("https://host/api/v1/messages/AAMk/attachments", "GET")
    assert msgspec.json.decode(encode_error(NotFound("Message or attachment not found."), link, "r1")) == {
        "_links": {"origin": {"href": "https://host/api/v1/messages/AAMk/attachments", "method": "GET"}},
        "status": "error",
        "error": {
            "code": "404",
            "message": "Message or attachment not found.",
            "reason": "not_found",
            "requestId": "r1",
        },
    }


def test_the_event_has_every_field_that_is_always_there() -> None:
    assert msgspec.json.decode(msgspec.json.encode(EVENT)) == {
        "id": "AAMk=",
        "event": "received",
        "internetMessageId": "<1@example.org>",
        "received": "2026-03-01T12:00:00Z",
        "mailbox": "invoices@example.org",
        "sender": {"emailAddress": {"name": "Ada", "address": "ada@example.org"}},
        "from": {"emailAddress": {"name": "Ada", "address": "ada@example.org"}},
        "to": [{"emailAddress": {"name": "", "address": "invoices@example.org"}}],
        "cc": [],
        "subject": "",
        "hasAttachments": False,
        "timestamp": "2026-03-01T12:00:00Z",
        "conversationId": "c1",
    }


def test_a_receiver_reads_what_the_gateway_writes() -> None:
    event = decode_event(msgspec.json.encode(msgspec.structs.replace(EVENT, custom_fields={"a": 1})))
    assert (event.id, event.event, event.has_attachments) == ("AAMk=", "received", False)
    assert (event.mailbox, event.received) == ("invoices@example.org", "2026-03-01T12:00:00Z")
    assert event.sender_address == "ada@example.org"


@pytest.mark.parametrize("sender", ["null", "{}", '{"emailAddress": null}', '{"emailAddress": {"address": null}}'])
def test_an_unknown_event_with_hardly_a_field_is_read(sender: str) -> None:
    event = decode_event(b'{"id": "1", "event": "archived", "received": null, "sender": %s}' % sender.encode())
    assert (event.event, event.has_attachments, event.sender_address) == ("archived", None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{}",
        b'{"id": "", "event": "received"}',
        b'{"id": 1, "event": "x"}',
        b'{"id": "%s", "event": "x"}' % (b"i" * 2049),
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_no_event_is_told_as_such(body: bytes) -> None:
    with pytest.raises(ValueError, match="no event"):
        decode_event(body)


def test_the_receivers_answer() -> None:
    assert msgspec.json.encode(success("Saved 2 files.")) == b'{"status":"success","message":"Saved 2 files."}'
    assert success("x").succeeded
    assert not failure("x").succeeded
    assert not msgspec.json.decode(b'{"status": "ok", "actions": [1]}', type=ReceiverAnswer).succeeded
