"""The sample mail, as an independent parser reads it."""

import hashlib
import io
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from satchel.contract.attachments import AttachmentType
from satchel.testing.mail import (
    SampleMessage,
    deliver,
    large_message,
    message_with_files,
    sample_messages,
    tiny_pdf,
    tiny_png,
)


def parsed(sample: SampleMessage) -> EmailMessage:
    found = message_from_bytes(sample.to_bytes(), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize("sample", sample_messages(100_000), ids=lambda sample: sample.name)
def test_the_standard_parser_finds_what_is_expected(sample: SampleMessage) -> None:
    read = parsed(sample)
    assert read["Subject"] == sample.subject
    assert read["Message-ID"] == sample.internet_message_id
    parts = [part for part in read.iter_parts() if part.get_content_disposition()]
    assert [(part.get_filename(), part.get_content_type()) for part in parts] == [
        (each.name, each.content_type) for each in sample.expected
    ]
    for part, expected in zip(parts, sample.expected, strict=True):
        if expected.attachment_type is AttachmentType.FILE:
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            assert (len(content), hashlib.sha256(content).hexdigest()) == (expected.size, expected.sha256)


def test_samples_cover_all_three_types_and_an_inline_picture() -> None:
    expected = [each for sample in sample_messages(10) for each in sample.expected]
    assert {each.attachment_type for each in expected} == set(AttachmentType)
    assert any(each.is_inline for each in expected)


def test_messages_are_the_same_every_time_and_files_are_all_different() -> None:
    assert message_with_files(1, 3, 100).to_bytes() == message_with_files(1, 3, 100).to_bytes()
    digests = {each.sha256 for number in range(3) for each in message_with_files(number, 3, 100).expected}
    assert len(digests) == 9


class Meter(io.RawIOBase):
    """Counts what is written and keeps nothing."""

    largest = 0
    total = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        size = memoryview(data).nbytes
        self.largest = max(self.largest, size)
        self.total += size
        return size


def test_a_large_message_is_written_in_pieces() -> None:
    meter = Meter()
    large_message(50_000_000).write(meter)
    assert meter.total > 50_000_000 * 4 // 3
    assert meter.largest < 1 << 20


@pytest.mark.parametrize("mail", [b"Subject: x\n\n", large_message(10), lambda file: file.write(b"Subject: y\n\n")])
def test_delivery_moves_a_finished_file_into_new(tmp_path: Path, mail: object) -> None:
    path = deliver(tmp_path / "box", mail)
    assert path.parent == tmp_path / "box" / "new"
    assert path.read_bytes().startswith((b"Subject", b"From"))
    assert list((tmp_path / "box" / "tmp").iterdir()) == []
    assert deliver(tmp_path / "box", b"").name != path.name


def test_the_small_files_are_what_they_say() -> None:
    pdf = b"".join(tiny_pdf("Hi (there)").pieces(0, 10_000))
    start = int(pdf.rpartition(b"startxref\n")[2].split()[0])
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf[start:].startswith(b"xref")
    png = b"".join(tiny_png().pieces(0, 10_000))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
