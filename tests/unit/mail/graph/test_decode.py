from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from satchel.contract.events import EmailAddress, Recipient
from satchel.mail.graph.decode import WireAttachment, WireMessage, attachment, attachments, media_type, summary
from satchel.mail.source import SourceUnavailable

# An attachment as Graph's documentation of the list shows it (attachment: list, 2024), with the fields of our $select.
DOCUMENTED = {
    "@odata.type": "#microsoft.graph.fileAttachment",
    "@odata.mediaContentType": "application/pdf",
    "id": "AAMkADNkNJp5JVnQIe9r0=",
    "lastModifiedDateTime": "2024-04-02T03:41:29Z",
    "name": "Draft sales invoice template.docx",
    "contentType": "application/vnd.openxmlformats-officedocument.wordprocessingml.document; name=x",
    "size": 13068,
    "isInline": False,
    "contentId": None,
}


def decoded(**changed: Any) -> Any:
    return attachment(msgspec.convert({**DOCUMENTED, **changed}, WireAttachment))


def test_an_attachment_as_it_is_documented() -> None:
    found = decoded()
    assert (found.id, found.name, found.size) == (DOCUMENTED["id"], DOCUMENTED["name"], 13068)
    assert found.content_type == "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    assert (found.attachment_type, found.is_inline, found.content_id) == ("fileAttachment", False, None)
    assert found.last_modified == datetime(2024, 4, 2, 3, 41, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("odata_type", "kind"),
    [
        ("#microsoft.graph.fileAttachment", "fileAttachment"),
        ("#microsoft.graph.itemAttachment", "itemAttachment"),
        ("#microsoft.graph.referenceAttachment", "referenceAttachment"),
        (None, "fileAttachment"),
        ("#microsoft.graph.somethingNew", "itemAttachment"),
        (7, "itemAttachment"),
    ],
)
def test_the_three_kinds(odata_type: object, kind: str) -> None:
    assert decoded(**{"@odata.type": odata_type}).attachment_type == kind


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Application/PDF", "application/pdf"),
        ('text/plain; charset="utf-8"', "text/plain"),
        (" image/png ", "image/png"),
        (None, "application/octet-stream"),
        ("", "application/octet-stream"),
        (5, "application/octet-stream"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("no type", "application/octet-stream"),
        ("x/" + "y" * 200, "application/octet-stream"),
    ],
)
def test_content_types(value: object, expected: str) -> None:
    assert media_type(value) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "attachment-1.pdf"),
        ("", "attachment-1.pdf"),
        ("  ", "attachment-1.pdf"),
        (["x"], "attachment-1.pdf"),
        ("a\r\nSet-Cookie: x\0.pdf", "aSet-Cookie: x.pdf"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("請求書.pdf", "請求書.pdf"),
    ],
)
def test_names(name: object, expected: str) -> None:
    assert decoded(name=name, contentType="application/pdf").name == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(5, 5), (None, 0), (-1, 0), ("5", 0), (True, 0), (1.5, 0), (2**70, 2**63 - 1)]
)
def test_sizes(size: object, expected: int) -> None:
    assert decoded(size=size).size == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("<logo@x>", "logo@x"), (" logo@x ", "logo@x"), ("", None), ("<>", None), (5, None)]
)
def test_content_ids(value: object, expected: str | None) -> None:
    assert decoded(contentId=value).content_id == expected


@pytest.mark.parametrize("value", ["yesterday", None, 5, "2024-13-01T00:00:00Z", "0001-01-01"])
def test_a_time_that_is_none_is_not_known(value: object) -> None:
    assert decoded(lastModifiedDateTime=value).last_modified is None


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert decoded(lastModifiedDateTime="2024-04-02T03:41:29").last_modified == datetime(
        2024, 4, 2, 3, 41, 29, tzinfo=UTC
    )


@pytest.mark.parametrize("bad_id", ["", "..", "a b", "a\r\nb", "x" * 1025, "ä", "a?b", "a.b", "~abc"])
def test_an_id_that_cannot_be_asked_for_is_no_answer_of_graph(bad_id: str) -> None:
    with pytest.raises(SourceUnavailable):
        decoded(id=bad_id)


def test_an_id_that_is_not_safe_in_a_path_is_given_out_in_another_form() -> None:
    assert decoded(id="AAMk/a+b==").id == "~QUFNay9hK2I9PQ"


def test_the_order_is_kept() -> None:
    listed = [msgspec.convert({"id": f"A{number}"}, WireAttachment) for number in (3, 1, 2)]
    assert [each.id for each in attachments(listed)] == ["A3", "A1", "A2"]


def address(name: str, of: str) -> dict[str, Any]:
    return {"emailAddress": {"name": name, "address": of}}


def described(**fields: Any) -> Any:
    return summary(msgspec.convert({"id": "AAkALgAA", **fields}, WireMessage), "a@example.com", has_attachments=True)


def test_the_envelope() -> None:
    found = described(
        **{
            "@odata.etag": 'W/"x"',
            "internetMessageId": "<1@x>",
            "conversationId": "AAQk=",
            "receivedDateTime": "2025-06-03T08:00:00Z",
            "subject": "Rechnung\r\nBcc: x",
            "sender": address("Desk", "desk@x"),
            "from": address("Müller", "m@x"),
            "toRecipients": [address("", "a@example.com"), address("B", "b@x")],
            "ccRecipients": [address("C", "c@x")],
        }
    )
    assert (found.internet_message_id, found.conversation_id) == ("<1@x>", "AAQk=")
    assert found.received == datetime(2025, 6, 3, 8, tzinfo=UTC)
    assert found.subject == "RechnungBcc: x"
    assert found.sender == Recipient(EmailAddress("Desk", "desk@x"))
    assert found.from_ == Recipient(EmailAddress("Müller", "m@x"))
    assert [each.email_address.address for each in found.to] == ["a@example.com", "b@x"]
    assert [each.email_address.address for each in found.cc] == ["c@x"]
    assert (found.ref.mailbox, found.ref.message_id) == ("a@example.com", "AAkALgAA")
    assert found.ref.locator == "AAkALgAA\n<1@x>\n1748937600"


def test_a_draft_has_next_to_nothing() -> None:
    found = described(
        sender=None, toRecipients=[], ccRecipients=None, receivedDateTime=None, createdDateTime="2025-06-03T08:00:00Z"
    )
    assert found.sender == found.from_ == Recipient()
    assert (found.to, found.cc, found.subject, found.internet_message_id) == ((), (), "", "")
    assert found.received == datetime(2025, 6, 3, 8, tzinfo=UTC)
    assert found.conversation_id == "AAkALgAA"
    assert found.ref.locator == "AAkALgAA"


def test_one_of_sender_and_from_stands_for_the_other() -> None:
    assert described(sender=address("", "desk@x")).from_ == Recipient(EmailAddress("", "desk@x"))
    assert described(**{"from": address("", "m@x")}).sender == Recipient(EmailAddress("", "m@x"))


def test_recipients_that_are_none_are_left_out() -> None:
    found = described(toRecipients=[None, 5, {}, {"emailAddress": None}, address("", ""), address("X", "x@x")])
    assert found.to == (Recipient(EmailAddress("X", "x@x")),)
