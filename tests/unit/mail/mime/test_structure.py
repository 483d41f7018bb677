"""Which attachments a message has, and what is said of them."""

import base64

import pytest

from satchel.contract.attachments import AttachmentType
from satchel.mail.mime import Encoding
from tests.unit.mail.mime.messages import contents, found, structure


def mixed(*parts: bytes, subtype: bytes = b"mixed") -> bytes:
    head = b'Subject: x\r\nContent-Type: multipart/%s; boundary="b"\r\n\r\n' % subtype
    return head + b"".join(b"--b\r\n%s\r\n" % part for part in parts) + b"--b--\r\n"


def nested(subtype: bytes, boundary: bytes, *parts: bytes) -> bytes:
    head = b"Content-Type: multipart/%s; boundary=%s\r\n\r\n" % (subtype, boundary)
    return head + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--" % boundary


TEXT = b"Content-Type: text/plain\r\n\r\nhello"
HTML = b'Content-Type: text/html\r\n\r\n<img src="cid:pic@x">'
PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD"
PICTURE = b"Content-Type: image/png\r\nContent-ID: <pic@x>\r\nContent-Disposition: inline; filename=p.png\r\n\r\nPNG"


def names(message: bytes) -> list[str]:
    return [each.name for each in found(message)]


def test_a_plain_message_has_none() -> None:
    assert found(b"Subject: x\r\n\r\nhello\r\n") == []
    assert found(b"") == []
    assert found(b"\r\n") == []
    assert found(b"no header at all") == []


def test_what_is_said_of_an_attachment() -> None:
    message = mixed(TEXT, PDF)
    (attachment,) = found(message)
    assert (attachment.path, attachment.name, attachment.content_type) == ("2", "a.pdf", "application/pdf")
    assert (attachment.kind, attachment.encoding) == (AttachmentType.FILE, Encoding.BASE64)
    assert message[attachment.start : attachment.stop] == b"QUJD"
    assert (attachment.content_id, attachment.is_inline) == (None, False)
    assert contents(message) == [b"ABC"]


def test_the_header_is_the_messages_own() -> None:
    assert structure(mixed(TEXT)).header == b'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    assert structure(b"Subject: x").header == b"Subject: x"


def test_a_message_that_is_one_attachment() -> None:
    message = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: BASE64\r\n\r\nQUJD\r\n"
    (attachment,) = found(message)
    assert (attachment.path, attachment.name) == ("1", "attachment-1.pdf")
    assert contents(message) == [b"ABC"]


@pytest.mark.parametrize(
    ("part", "is_attachment"),
    [
        (b"Content-Type: text/plain\r\n\r\nx", False),
        (b"\r\nx", False),
        (b"Content-Type: text/html\r\nContent-Disposition: inline\r\n\r\nx", False),
        (b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx", True),
        (b"Content-Type: text/plain; name=a.txt\r\n\r\nx", True),
        (b"Content-Type: text/plain\r\nContent-Disposition: inline; filename=a.txt\r\n\r\nx", True),
        (b"Content-Type: text/html\r\nContent-Disposition: unheard-of\r\n\r\nx", True),
        (b"Content-Type: text/csv\r\n\r\nx", True),
        (b"Content-Type: text/calendar\r\n\r\nx", True),
        (b"Content-Type: message/delivery-status\r\n\r\nx", True),
        (b"Content-Type: application/pgp-signature\r\n\r\nx", True),
        (b"Content-Type: nonsense\r\n\r\nx", True),
        (b"Content-Type: text\r\n\r\nx", False),
        (b"Content-Type: multipart/mixed\r\n\r\nx", False),
    ],
)
def test_bodies_and_attachments(part: bytes, is_attachment: bool) -> None:
    assert len(found(mixed(TEXT, part))) == is_attachment


def test_the_first_text_is_the_body_also_when_it_has_a_name() -> None:
    named = b"Content-Type: text/plain; name=mail.txt\r\n\r\nx"
    assert names(mixed(named, named)) == ["mail.txt"]
    assert found(mixed(TEXT, nested(b"alternative", b"alt", named, named))) == []
    assert found(named) == []


def test_a_picture_that_the_html_shows_is_inline() -> None:
    other = PICTURE.replace(b"pic@x", b"other@x")
    related = nested(b"related", b"rel", HTML, PICTURE, other)
    assert [each.is_inline for each in found(mixed(related, PDF))] == [True, False, False]
    assert [each.content_id for each in found(mixed(related, PDF))] == ["pic@x", "other@x", None]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"", b"<IMG SRC=CID:pic@x>"),
        (b"", b"background: url('cid:pic%40x')"),
        (b"", b'<img src="cid:pic&#64;x">'),
        (b"Content-Transfer-Encoding: quoted-printable\r\n", b'<img src=3D"cid:pi=\r\nc@x">'),
        (b"Content-Transfer-Encoding: base64\r\n", base64.encodebytes(b'<img src="cid:pic@x">')),
    ],
)
def test_references_are_found_however_the_html_is_written(header: bytes, body: bytes) -> None:
    html = b"Content-Type: text/html\r\n" + header + b"\r\n" + body
    assert [each.is_inline for each in found(mixed(html, PICTURE, subtype=b"related"))] == [True]


def test_a_document_that_is_marked_inline_is_no_inline_picture() -> None:
    assert [each.is_inline for each in found(mixed(TEXT, PICTURE))] == [False]


def test_a_message_within_the_message_is_one_item() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, PDF).replace(b'="b"', b"=i").replace(b"--b", b"--i")
    (item,) = found(mixed(TEXT, inner))
    assert (item.kind, item.name, item.content_type) == (AttachmentType.ITEM, "message.eml", "message/rfc822")
    assert contents(mixed(TEXT, inner))[0].startswith(b"Subject: x\r\n")


def test_a_base64_encoded_item_is_measured_decoded() -> None:
    inner = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(
        b"A: b\r\n\r\nc"
    )
    assert contents(mixed(TEXT, inner)) == [b"A: b\r\n\r\nc"]


def test_what_stands_in_a_digest_is_an_item() -> None:
    digest = mixed(b"\r\nSubject: 1\r\n\r\nx", b"Content-Type: text/plain\r\n\r\nx", subtype=b"digest")
    assert [each.kind for each in found(digest)] == [AttachmentType.ITEM]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (b'Content-Type: message/external-body; access-type=URL; URL="https://x/y"; name=big.zip\r\n\r\n', "big.zip"),
        (
            b"Content-Type: message/external-body; access-type=URL\r\n\r\nContent-Type: image/gif; name=in.gif\r\n\r\n",
            "in.gif",
        ),
        (b"Content-Type: message/external-body; access-type=URL\r\n\r\nx", "attachment-2"),
        (
            b"Content-Type: application/octet-stream; name=cloud.mov\r\n"
            b"X-Mozilla-Cloud-Part: cloudFile; url=https://x/y\r\n\r\n",
            "cloud.mov",
        ),
    ],
)
def test_links_are_references(part: bytes, name: str) -> None:
    (reference,) = found(mixed(TEXT, part))
    assert (reference.kind, reference.name) == (AttachmentType.REFERENCE, name)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (b"base64", b"ABC"),
        (b" Base64 ", b"ABC"),
        (b'"base64"', b"ABC"),
        (b"base64 (comment)", b"ABC"),
        (b"base64;", b"ABC"),
        (b"7-bit", b"QUJD"),
        (b"base-64", b"QUJD"),
        (b"", b"QUJD"),
        (b"\xff", b"QUJD"),
    ],
)
def test_transfer_encodings(encoding: bytes, expected: bytes) -> None:
    part = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: %s\r\n\r\nQUJD" % encoding
    assert contents(mixed(part)) == [expected]


def test_an_uuencoded_part_loses_its_frame() -> None:
    part = b"Content-Type: image/gif\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
    part += b"begin 644 c.gif\r\n#0V%T\r\n`\r\nend\r\n"
    assert names(mixed(part)) == ["c.gif"]
    assert contents(mixed(part)) == [b"Cat"]


def test_uuencoded_files_within_text() -> None:
    text = b"Content-Type: text/plain\r\n\r\nHi,\r\nbegin 644 a b.txt\r\n#0V%T\r\n`\r\nend\r\n"
    text += b"and\r\nbegin 600 c\r\n#0V%T\r\n`\r\nend"
    assert [(each.path, each.name) for each in found(mixed(text))] == [("1.u1", "a b.txt"), ("1.u2", "c")]
    assert contents(mixed(text)) == [b"Cat", b"Cat"]


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 a.txt\r\nthis is prose, no data\r\nend\r\n",
        b"begin 644 a.txt\r\n#0V%T\r\n`\r\n",
        b"we begin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n",
        b"begin with this\r\n#0V%T\r\n`\r\nend\r\n",
    ],
)
def test_prose_is_not_taken_for_uuencode(text: bytes) -> None:
    assert found(b"Subject: x\r\n\r\n" + text) == []


def test_the_fingerprint_changes_with_header_place_and_length() -> None:
    first = found(mixed(TEXT, PDF))[0].fingerprint
    assert found(b"X-Later: 1\r\n" + mixed(TEXT, PDF))[0].fingerprint == first
    assert len(first) == 32
    others = [mixed(PDF), mixed(TEXT, PDF + b"RA=="), mixed(TEXT, PDF.replace(b"a.pdf", b"b.pdf"))]
    assert len({first, *(found(other)[0].fingerprint for other in others)}) == 4


def test_hostile_names_stay_hostile_but_keep_to_one_line() -> None:
    part = b'Content-Type: application/pdf; name="../\x00..\x1b/=?utf-8?q?a=0D=0Ab?="\r\n\r\nx'
    assert names(mixed(part)) == ["../../ab"]
