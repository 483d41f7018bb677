from datetime import UTC, datetime

import pytest

from satchel.contract.events import EmailAddress, Recipient
from satchel.mail.mime.envelope import Envelope, read_envelope, read_recipients


def person(name: str, address: str) -> Recipient:
    return Recipient(EmailAddress(name=name, address=address))


def test_a_usual_header() -> None:
    envelope = read_envelope(
        b"Received: from b by c;\r\n\tWed, 4 Jun 2025 12:00:00 +0000\r\n"
        b"Received: from a by b; Wed, 4 Jun 2025 11:00:00 +0000\r\n"
        b"From: Ann <ann@a.example>\r\nSender: desk@a.example\r\nTo: b@b.example\r\n"
        b"CC: C <c@c.example>, d@d.example\r\n"
        b"Subject: An\r\n invoice\r\nDate: Wed, 4 Jun 2025 10:00:00 -0200\r\n"
        b"Message-ID: <1@a.example>\r\n\r\nFrom: body"
    )
    assert envelope == Envelope(
        message_id="<1@a.example>",
        date=datetime(2025, 6, 4, 12, tzinfo=UTC),
        received=datetime(2025, 6, 4, 12, tzinfo=UTC),
        subject="An invoice",
        sender=person("", "desk@a.example"),
        from_=person("Ann", "ann@a.example"),
        to=(person("", "b@b.example"),),
        cc=(person("C", "c@c.example"), person("", "d@d.example")),
        conversation_root="<1@a.example>",
    )


def test_nothing_says_nothing() -> None:
    assert read_envelope(b"") == Envelope()


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"=?utf-8?B?w4RyZ2Vy?=", "Ärger"),
        (b"=?iso-8859-1?q?=C4rger?= =?iso-8859-1?q?_hier?=", "Ärger hier"),
        (b"=?iso-2022-jp?B?GyRCQEE1YT1xGyhC?=", "請求書"),
        ("Ärger roh".encode(), "Ärger roh"),
        ("Ärger roh".encode("cp1252"), "Ärger roh"),
        (b"=?utf-8?B?%%%?=", ""),
        (b"=?nonsense?Q?a=C3=A4?=", "aä"),
        (b"=?utf-8?q?a=0D=0ABcc:_x=00?=", "aBcc: x"),
        (b"a\0b\x07c\rd", "abcd"),
        (b"=?utf-8?q?never closed", "=?utf-8?q?never closed"),
    ],
)
def test_subjects(raw: bytes, subject: str) -> None:
    assert read_envelope(b"Subject: " + raw + b"\n\n").subject == subject


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"a@b.c", [("", "a@b.c")]),
        (b"<a@b.c>", [("", "a@b.c")]),
        (b'"Doe, John" <j@b.c>, Jane <k@b.c>', [("Doe, John", "j@b.c"), ("Jane", "k@b.c")]),
        (b'"a \\"quoted\\" b" <a@b.c>', [('a "quoted" b', "a@b.c")]),
        (b"=?utf-8?q?Doe,_J=C3=B6hn?= <j@b.c>", [("Doe, Jöhn", "j@b.c")]),
        (b'"=?utf-8?b?SsO2aG4=?=" <j@b.c>', [("Jöhn", "j@b.c")]),
        (b"j@b.c (John (the first) Doe)", [("John (the first) Doe", "j@b.c")]),
        (b"undisclosed-recipients:;", []),
        (b"Team: a@b.c, B <b@b.c>; d@b.c", [("", "a@b.c"), ("B", "b@b.c"), ("", "d@b.c")]),
        (b"a@b.c; d@b.c", [("", "a@b.c"), ("", "d@b.c")]),
        (b"<@relay,@other:a@b.c>", [("", "a@b.c")]),
        (b"A <a@b.c, b@b.c", [("A", "a@b.c"), ("", "b@b.c")]),
        (b"postmaster", [("", "postmaster")]),
        (b"The whole office", [("The whole office", "")]),
        (b"A <>", [("A", "")]),
        (b"<a@b.c\r\n Bcc:x@y.z>", [("", "a@b.cBcc:x@y.z")]),
        (b",,;, ,", []),
        ("Jürgen <j@bücher.example>".encode(), [("Jürgen", "j@bücher.example")]),
        (b'"never closed <a@b.c>', [("never closed", "a@b.c")]),
        (b"(never closed a@b.c", [("never closed a@b.c", "")]),
    ],
)
def test_recipients(raw: bytes, found: list[tuple[str, str]]) -> None:
    listed = read_envelope(b"To: " + raw + b"\n\n").to
    assert [(each.email_address.name, each.email_address.address) for each in listed] == found


def test_recipients_are_bounded() -> None:
    header = b"To: " + b"a@b.c, " * 50_000 + b"\n\n"
    assert len(read_envelope(header).to) == 1_000
    assert len(read_recipients(b"a@b.c, " * 50, limit=3)) == 3


def test_sender_and_from_stand_in_for_each_other() -> None:
    only_from = read_envelope(b"From: a@b.c, d@b.c\n\n")
    assert only_from.sender == only_from.from_ == person("", "a@b.c")
    only_sender = read_envelope(b"Sender: a@b.c\n\n")
    assert only_sender.sender == only_sender.from_ == person("", "a@b.c")


@pytest.mark.parametrize(
    ("raw", "when"),
    [
        (b"Wed, 4 Jun 2025 10:00:00 +0200", datetime(2025, 6, 4, 8, tzinfo=UTC)),
        (b"4 Jun 2025 10:00 GMT (comment)", datetime(2025, 6, 4, 10, tzinfo=UTC)),
        (b"4 Jun 2025 10:00:00", datetime(2025, 6, 4, 10, tzinfo=UTC)),
        (b"4 Jun 2025 10:00:00 -0000", datetime(2025, 6, 4, 10, tzinfo=UTC)),
        (b"", None),
        (b"yesterday", None),
        (b"31 Feb 2025 10:00:00 +0000", None),
        (b"31 Dec 9999 23:59:59 -2359", None),
        (b"4 Jun 1925 10:00:00 +0000", None),
        (b"4 Jun 2025 10:00:00 +9999999999999", None),
        (b"4 Jun 99999999999999999999 10:00:00 +0000", None),
    ],
)
def test_dates(raw: bytes, when: datetime | None) -> None:
    assert read_envelope(b"Date: " + raw + b"\n\n").date == when


@pytest.mark.parametrize(
    ("raw", "root"),
    [
        (b"References: <1@x> <2@x>\nIn-Reply-To: <2@x>\nMessage-ID: <3@x>\n", "<1@x>"),
        (b"References:\nIn-Reply-To: Your mail of today <2@x>\nMessage-ID: <3@x>\n", "<2@x>"),
        (b"Message-ID: <3@x>\n", "<3@x>"),
        (b"Message-ID: without brackets\n", "without brackets"),
        (b"Subject: x\n", ""),
    ],
)
def test_the_conversations_root(raw: bytes, root: str) -> None:
    assert read_envelope(raw + b"\n").conversation_root == root


def test_long_fields_are_cut() -> None:
    header = b"Subject: " + b"s" * 900_000 + b"\nMessage-ID: <" + b"m" * 900_000 + b">\n\n"
    envelope = read_envelope(header)
    assert 1_000 < len(envelope.subject) < 100_000
    assert len(envelope.message_id) <= 998
