from typing import Any

import msgspec
import pytest

from satchel.contract.attachments import Attachment
from satchel.mail.graph.inline import Shown, WireBody, in_question, shown_by, with_inline


def one(content_type: str, *, flag: bool | None, content_id: str | None = "logo@x", **fields: Any) -> Attachment:
    given = {"id": "A", "name": "x", "size": 1, "attachment_type": "fileAttachment", **fields}
    return Attachment(content_type=content_type, is_inline=flag, content_id=content_id, **given)


PDF = "application/pdf"
PNG = "image/png"


@pytest.mark.parametrize(
    ("attachment", "asks", "when_shown", "when_not"),
    [
        # A picture is what the text makes of it, whatever the flag says.
        (one(PNG, flag=True), True, True, False),
        (one(PNG, flag=False), True, True, False),
        (one(PNG, flag=None), True, True, False),
        (one(PNG, flag=True, content_id="LOGO@X"), True, True, False),
        # Without a Content-ID no text can show it.
        (one(PNG, flag=True, content_id=None), False, False, False),
        # No PDF is shown within a text, also not where there is a link to it.
        (one(PDF, flag=True), False, False, False),
        (one(PDF, flag=False), False, False, False),
        (one("application/octet-stream", flag=True, name="scan.PDF"), False, False, False),
        # Pictures without a type of their own.
        (one("application/octet-stream", flag=True, name="image001.PNG"), True, True, False),
        (one("message/rfc822", flag=True, attachment_type="itemAttachment"), False, False, False),
        (one(PNG, flag=True, attachment_type="referenceAttachment"), False, False, False),
    ],
)
def test_what_is_inline(attachment: Attachment, asks: bool, when_shown: bool, when_not: bool) -> None:
    assert in_question([attachment]) == (frozenset({"logo@x"}) if asks else frozenset())
    (shown,) = with_inline([attachment], Shown(frozenset({"logo@x"})))
    (hidden,) = with_inline([attachment], Shown(frozenset({"other@x"})))
    assert (shown.is_inline, hidden.is_inline) == (when_shown, when_not)


def test_where_the_text_cannot_be_looked_at_the_flag_decides_for_pictures_alone() -> None:
    listed = [one(PNG, flag=True), one(PNG, flag=False), one(PNG, flag=None), one(PDF, flag=True)]
    assert [each.is_inline for each in with_inline(listed, Shown(None))] == [True, False, False, False]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ('<img src="cid:Logo@x">', {"logo@x"}),
        ("<img src='CID:a%40x'><a href=cid:b@x>", {"a@x", "b@x"}),
        ('<td background="cid:image001.png&#64;01D">', {"image001.png@01d"}),
        ("no pictures", set()),
        ("", set()),
        (None, set()),
        (5, set()),
    ],
)
def test_what_a_text_shows(body: object, ids: set[str]) -> None:
    message = msgspec.convert({"body": {"contentType": "html", "content": body}}, WireBody)
    assert shown_by(message, frozenset({"logo@x", "a@x", "b@x", "image001.png@01d"})) == Shown(frozenset(ids))


@pytest.mark.parametrize("message", [{}, {"body": None}, {"body": {}}])
def test_a_message_without_a_body_shows_nothing(message: dict[str, Any]) -> None:
    assert shown_by(msgspec.convert(message, WireBody), frozenset({"a@x"})) == Shown(frozenset())


def test_of_a_text_with_countless_pictures_only_what_was_asked_about_is_kept() -> None:
    content = "cid:logo@x " + " ".join(f"cid:{number}@x" for number in range(200_000))
    message = msgspec.convert({"body": {"content": content}}, WireBody)
    # Beyond the first ten thousand places nobody looks.
    assert shown_by(message, frozenset({"logo@x", "5@x", "199999@x"})) == Shown(frozenset({"logo@x", "5@x"}))
