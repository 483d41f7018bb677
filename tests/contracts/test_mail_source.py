"""What every `MailSource` promises. An adapter joins by a `PostOffice` of its own (offices.py)."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from msgspec import structs

from satchel.contract.attachments import Attachment
from satchel.mail.source import (
    AttachmentNotFound,
    MailSource,
    MessageNotFound,
    MessageRef,
    NotDownloadable,
    SourceError,
)
from satchel.testing.content import Generated, Given
from satchel.testing.mail import (
    SampleMessage,
    file_part,
    large_message,
    message,
    message_with_files,
    message_with_picture,
    sample_messages,
    text_part,
)
from tests.contracts.offices import MAILBOX, OFFICES, OTHER, PostOffice, there

RANGES = [(0, None), (0, 1), (0, 0), (1, 2), (56, 58), (1_048_575, 1_048_577), (2_999_999, None), (7, 2_500_000)]
RANGES += [(3_000_000, None), (9_000_000, None), (2_999_000, 9_000_000), (5, 4)]
FORGED = ["", "x", "maildir/../x", "eml/%2e%2e/passwd", "eml/invoices@example.com/..%2f..%2fetc%2fpasswd"]
FORGED += [
    "mbox/invoices@example.com.mbox/00.0/-1",
    "maildir/invoices@example.com/%00",
    "mbox/a/b/99999999999999999999",
]
FORGED += [
    "eml//x.eml",
    "eml/invoices@example.com/.eml",
    "maildir/invoices@example.com/..",
    "/etc/passwd",
    "x" * 10_000,
]
URL_SAFE = re.compile(r"[A-Za-z0-9._~=-]+")


@pytest.fixture(params=OFFICES)
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PostOffice]:
    root = tmp_path / "mail"
    root.mkdir()
    async with OFFICES[request.param](root) as opened:
        yield opened


@pytest.fixture
async def source(office: PostOffice) -> AsyncIterator[MailSource]:
    opened = office.source()
    yield opened
    await opened.aclose()


async def only(source: MailSource) -> MessageRef:
    (found,) = await there(source)
    return found


async def read(source: MailSource, ref: MessageRef, attachment: Attachment) -> bytes:
    content = await source.open(ref, attachment.id)
    try:
        pieces = [piece async for piece in content.chunks()]
    finally:
        await content.aclose()
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
    return b"".join(pieces)


async def test_an_empty_server_has_no_mailboxes_and_an_empty_first_pass(office: PostOffice) -> None:
    async with aclosing(office.source(mailboxes=())) as source:
        assert await source.mailboxes() == []
        assert await there(source) == []


async def test_mailboxes_are_sorted_and_in_lower_case(office: PostOffice) -> None:
    mailboxes = ("Zoe@Example.com", MAILBOX, OTHER)
    async with aclosing(office.source(mailboxes)) as source:
        for mailbox in mailboxes:
            office.deliver(mailbox, b"Subject: x\r\n\r\n")
        assert await source.mailboxes() == [OTHER, MAILBOX, "zoe@example.com"]
        assert {ref.mailbox for ref in await there(source)} == {OTHER, MAILBOX, "zoe@example.com"}


async def test_every_message_is_found_once_under_its_own_id(office: PostOffice, source: MailSource) -> None:
    for number in range(1_200):
        office.deliver(MAILBOX if number % 2 else OTHER, b"Message-ID: <%d@x>\r\nSubject: x\r\n\r\nHi" % number)
    found = await there(source)
    assert len(found) == 1_200
    assert len({ref.message_id for ref in found}) == 1_200
    assert all(URL_SAFE.fullmatch(ref.message_id) for ref in found)


async def test_equal_messages_are_two_messages(office: PostOffice, source: MailSource) -> None:
    for _ in range(2):
        office.deliver(MAILBOX, b"Subject: the same\r\n\r\nHi\r\n")
    assert len({ref.message_id for ref in await there(source)}) == 2


async def test_an_arrival_is_told_after_the_first_pass(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, b"Subject: before\r\n\r\nHi\r\n")
    subjects = []
    async with aclosing(source.watch()) as batches:
        async for batch in batches:
            subjects += [(await source.describe(ref)).subject for ref in batch.messages]
            if batch.ends_first_pass:
                assert subjects == ["before"]
                office.deliver(MAILBOX, b"Subject: after\r\n\r\nHi\r\n")
            if "after" in subjects:
                break


async def test_a_mailbox_that_appears_later_is_seen(office: PostOffice, source: MailSource) -> None:
    async with aclosing(source.watch()) as batches:
        async for batch in batches:
            if batch.ends_first_pass:
                office.deliver(OTHER, b"Subject: new here\r\n\r\nHi\r\n")
            elif batch.messages:
                assert [ref.mailbox for ref in batch.messages] == [OTHER]
                break


async def test_ids_and_etags_survive_a_restart(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(1, 2, 1_000).to_bytes())
    ref = await only(source)
    before = await source.list(ref)
    opened = [await source.open(ref, each.id) for each in before]
    etags = [content.etag for content in opened]
    later = office.source()
    try:
        assert await only(later) == ref
        assert await later.list(ref) == before
        for each, etag in zip(before, etags, strict=True):
            again = await later.open(ref, each.id)
            assert again.etag == etag
            await again.aclose()
    finally:
        await later.aclose()
        for content in opened:
            await content.aclose()
    assert len(set(etags)) == 2


async def test_the_envelope(office: PostOffice, source: MailSource) -> None:
    office.deliver(
        MAILBOX,
        b"Received: from relay by mx; Tue, 3 Jun 2025 10:00:00 +0200\r\n"
        b"From: =?utf-8?q?M=C3=BCller?= <m@supplier.example>\r\nSender: desk@supplier.example\r\n"
        b"To: Invoices <invoices@example.com>, b@example.com\r\nCc: c@example.com\r\n"
        b"Subject: =?utf-8?b?UmVjaG51bmc=?=\r\nMessage-ID: <42@supplier.example>\r\n\r\nHello\r\n",
    )
    ref = await only(source)
    summary = await source.describe(ref)
    assert summary.ref == ref
    assert summary.internet_message_id == "<42@supplier.example>"
    assert summary.subject == "Rechnung"
    assert (summary.from_.email_address.name, summary.from_.email_address.address) == ("Müller", "m@supplier.example")
    assert summary.sender.email_address.address == "desk@supplier.example"
    assert [each.email_address.address for each in summary.to] == ["invoices@example.com", "b@example.com"]
    assert [each.email_address.address for each in summary.cc] == ["c@example.com"]
    assert summary.received.astimezone(UTC).isoformat() == "2025-06-03T08:00:00+00:00"
    assert not summary.has_attachments
    assert URL_SAFE.fullmatch(summary.conversation_id)


async def test_a_reply_is_in_the_conversation_of_its_root(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, b"Message-ID: <1@x>\r\nSubject: a\r\n\r\n1\r\n")
    office.deliver(MAILBOX, b"Message-ID: <2@x>\r\nReferences: <1@x> <9@x>\r\nSubject: b\r\n\r\n2\r\n")
    office.deliver(MAILBOX, b"Message-ID: <3@x>\r\nSubject: c\r\n\r\n3\r\n")
    found = {summary.subject: summary for summary in [await source.describe(ref) for ref in await there(source)]}
    assert found["a"].conversation_id == found["b"].conversation_id != found["c"].conversation_id


async def test_a_picture_in_the_text_is_no_reason_to_say_has_attachments(
    office: PostOffice, source: MailSource
) -> None:
    office.deliver(MAILBOX, message_with_picture().to_bytes())
    ref = await only(source)
    assert not (await source.describe(ref)).has_attachments
    (picture,) = await source.list(ref)
    assert (picture.is_inline, picture.content_id) == (True, "logo@supplier.example")


@pytest.mark.parametrize("sample", sample_messages(3_000_001), ids=lambda sample: sample.name)
async def test_samples_come_back_as_they_went_in(office: PostOffice, source: MailSource, sample: SampleMessage) -> None:
    office.deliver(MAILBOX, sample.to_bytes())
    ref = await only(source)
    listed = await source.list(ref)
    assert [(each.name, each.attachment_type) for each in listed] == [
        (each.name, each.attachment_type) for each in sample.expected
    ]
    assert all(URL_SAFE.fullmatch(each.id) for each in listed)
    for each, expected in zip(listed, sample.expected, strict=True):
        if each.is_file:
            assert each.content_type == expected.content_type
            assert hashlib.sha256(await read(source, ref, each)).hexdigest() == expected.sha256
        else:
            with pytest.raises(NotDownloadable):
                await source.open(ref, each.id)
    sizes = [expected.size for expected in sample.expected if expected.attachment_type == "fileAttachment"]
    if source.lists_exact_sizes:
        assert [each.size for each in listed if each.is_file] == sizes
    # What has been read to its end is known to the byte, whatever the mail server says of it.
    assert [each.size for each in await source.list(ref) if each.is_file] == sizes


async def test_what_is_open_says_what_was_listed(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, large_message(5_000).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    content = await source.open(ref, listed.id)
    assert content.size == 5_000
    assert content.attachment == structs.replace(listed, size=5_000)
    assert listed.size == 5_000 or not source.lists_exact_sizes
    assert content.etag is None or '"' not in content.etag
    await content.aclose()
    await content.aclose()


async def test_ranges(office: PostOffice, source: MailSource) -> None:
    whole = b"".join(Generated(3_000_000).pieces(0, 3_000_000))
    office.deliver(MAILBOX, large_message(3_000_000).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    content = await source.open(ref, listed.id)
    for start, stop in RANGES:
        got = b"".join([piece async for piece in content.chunks(start, stop)])
        assert got == whole[start : len(whole) if stop is None else stop], (start, stop)
    await content.aclose()


async def test_two_streams_do_not_disturb_each_other(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(7, 2, 2_000_000).to_bytes())
    ref = await only(source)
    opened = [await source.open(ref, each.id) for each in await source.list(ref)]
    streams = [content.chunks() for content in opened]
    got = [b"", b""]
    while pieces := [await anext(stream, b"") for stream in streams]:
        got = [before + piece for before, piece in zip(got, pieces, strict=True)]
        if not any(pieces):
            break
    assert got == [b"".join(Generated(2_000_000, 7_000 + index).pieces(0, 2_000_000)) for index in range(2)]
    for content in opened:
        await content.aclose()


async def test_a_stream_may_be_left_early(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, large_message(3_000_000).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    content = await source.open(ref, listed.id)
    async with aclosing(content.chunks()) as pieces:
        assert await anext(pieces)
    await content.aclose()
    with pytest.raises(SourceError):
        await anext(content.chunks())


async def test_an_empty_attachment_is_an_attachment(office: PostOffice, source: MailSource) -> None:
    empty = file_part("empty.txt", "text/csv", Given(b""))
    office.deliver(MAILBOX, message("empty", "An empty file", [empty]).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    assert listed.name == "empty.txt"
    assert listed.size == 0 or not source.lists_exact_sizes
    assert await read(source, ref, listed) == b""


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "C:\\temp\\x.pdf", "a/b.pdf", "evil\u202efdp.exe", "x" * 4_000, "請求書.pdf", " .. ", "-rf"],
    ids=lambda name: name[:12],
)
async def test_hostile_names_pass_unaltered(office: PostOffice, source: MailSource, name: str) -> None:
    office.deliver(MAILBOX, message("hostile", "A name", [file_part(name, "application/pdf", Given(b"x"))]).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    assert listed.name == name
    assert await read(source, ref, listed) == b"x"


async def test_control_characters_of_names_are_dropped(office: PostOffice, source: MailSource) -> None:
    part = file_part("a\r\nSet-Cookie: x\0.pdf\x85", "application/pdf", Given(b"x"))
    office.deliver(MAILBOX, message("control", "A name", [part]).to_bytes())
    (listed,) = await source.list(await only(source))
    assert listed.name == "aSet-Cookie: x.pdf"


async def test_unknown_attachments(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(1, 1, 10).to_bytes())
    office.deliver(MAILBOX, message_with_files(2, 1, 10).to_bytes())
    first, second = await there(source)
    (of_the_other,) = await source.list(second)
    for wanted in ("", "A0", "../../etc/passwd", of_the_other.id.swapcase(), of_the_other.id):
        with pytest.raises(AttachmentNotFound):
            await source.open(first, wanted)


async def test_a_message_that_vanished(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(1, 1, 10).to_bytes())
    ref = await only(source)
    (listed,) = await source.list(ref)
    office.burn(MAILBOX)
    for call in (source.list(ref), source.describe(ref), source.open(ref, listed.id)):
        with pytest.raises(MessageNotFound) as caught:
            await call
        assert not caught.value.transient


async def test_forged_locators_lead_nowhere(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(1, 1, 10).to_bytes())
    true = await only(source)
    for locator in FORGED:
        ref = replace(true, locator=locator)
        for call in (source.list(ref), source.describe(ref), source.open(ref, "A")):
            with pytest.raises(MessageNotFound):
                await call


async def test_a_locator_of_another_mailbox_leads_nowhere(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, message_with_files(1, 1, 10).to_bytes())
    office.deliver(OTHER, message_with_files(2, 1, 10).to_bytes())
    billing, invoices = sorted(await there(source), key=lambda ref: ref.mailbox)
    forgeries = [replace(invoices, locator=billing.locator), replace(invoices, mailbox=OTHER)]
    for forged in [*forgeries, replace(invoices, message_id=billing.message_id)]:
        with pytest.raises(MessageNotFound):
            await source.list(forged)


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"\r\n",
        b"\0" * 1_000,
        b"no header at all",
        b"Subject: x\r\nContent-Type: multipart/mixed\r\n\r\nno boundary",
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Disposition: attachment\r\n',
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n'
        b"Content-Type: application/pdf\r\n\r\n%%%=not=base64=%%%\r\n--b--",
        b"\xff\xfe" * 500 + b"\r\n\r\n" + b"\xff" * 500,
        b"From: " + b"(" * 5_000 + b"\r\nTo: <\r\nDate: never\r\n\r\n",
    ],
    ids=lambda mail: repr(mail[:14]),
)
async def test_broken_messages_are_read_as_far_as_they_go(office: PostOffice, source: MailSource, mail: bytes) -> None:
    office.deliver(MAILBOX, mail)
    ref = await only(source)
    assert (await source.describe(ref)).ref == ref
    for each in await source.list(ref):
        if each.is_file:
            read_bytes = len(await read(source, ref, each))
            assert read_bytes == each.size or not source.lists_exact_sizes


async def test_a_text_that_speaks_of_from_is_one_message(office: PostOffice, source: MailSource) -> None:
    text = text_part("Hello.\r\n\r\n>From here on\r\nFrom there\r\n")
    office.deliver(MAILBOX, SampleMessage("from", "From", text).to_bytes())
    assert (await source.describe(await only(source))).subject == "From"
