"""Real mail: what two independent parsers agree on is what the MIME reader finds, byte for byte.

The messages lie beside the project, not in it; where they are absent these tests are skipped and say so.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from satchel.mail.mime import decode, measure, read_structure

MAIL = Path(__file__).parents[3] / "shared" / "data" / "mail"
REFERENCE = MAIL / "reference.jsonl"
ROWS: list[dict[str, Any]] = (
    [json.loads(line) for line in REFERENCE.read_text("utf-8").splitlines()] if REFERENCE.exists() else []
)

pytestmark = pytest.mark.skipif(not ROWS, reason="the reference mail is not beside the project")

# Where the two parsers differ and this reader follows neither, or one of them only: what it says instead, and why.
DECISIONS = {
    # RFC 2231: the charset iso-2022-jp does not hold the byte 0x8A, so it is read as Windows-1252; and the type is
    # application/octet-stream, as the header says, not what the name's ending suggests.
    ("mikel__attachment_emails__attachment_with_encoded_name.eml", "2"): (
        "01 Quien Te DijŠat. Pitbull.mp3",
        "application/octet-stream",
        399,
    ),
    # RFC 2045 section 5.1 requires a subtype; a malformed type is data of an unknown type.
    ("mimekit__messages__missing-subtype.txt.eml", "1"): ("document.xml.gz", "application/octet-stream", 15),
    # x-uuencode is decoded: the sizes are those of the same pictures sent as base64 in the neighbouring messages.
    ("stalwart__legacy__017.eml", "2"): ("greenball.png", "image/png", 1298),
    ("stalwart__legacy__048.eml", "2"): ("redball.png", "image/png", 1453),
    ("stalwart__legacy__026.eml", "2"): ("HasenundFrösche.txt", "text/plain", 747),
    # uuencoded within the text, as before MIME.
    ("stalwart__legacy__049.eml", "1.u1"): ("blueball.png", "application/octet-stream", 1325),
    # A message within the message is one item; what is attached to it belongs to it.
    ("mimekit__mbox__content-length.mbox.txt.007.eml", "2"): ("smime18-encrypted.msg", "message/rfc822", 2812),
    # RFC 2046 section 5.1.5: what stands in a digest is a message unless it says otherwise.
    ("stalwart__thirdparty__007.eml", "1"): ("message.eml", "message/rfc822", 73),
}


@dataclass(frozen=True)
class Read:
    path: str
    name: str
    content_type: str
    size: int
    sha256: str


def read(name: str) -> list[Read]:
    fd = os.open(MAIL / name, os.O_RDONLY)
    try:
        rows = []
        for found in read_structure(fd, 0, os.fstat(fd).st_size).attachments:
            digest = hashlib.sha256()
            index = measure(fd, found)
            size = 0
            for piece in decode(fd, found, index):
                digest.update(piece)
                size += len(piece)
            assert size == index.total
            rows.append(Read(found.path, found.name, found.content_type, index.total, digest.hexdigest()))
        return rows
    finally:
        os.close(fd)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["file"]))
def test_every_agreed_attachment_is_found(row: dict[str, Any]) -> None:
    """In the message's order, each with its name (where it has one), type, size and digest."""
    agreed = [each for each in row["attachments"] if each["agreed"]]
    rows = iter(read(row["file"]))
    for each in agreed:
        expected = (each["contentType"], each["size"], each["sha256"])
        assert any(
            (got.content_type, got.size, got.sha256) == expected and each["name"] in (None, got.name) for got in rows
        ), f"not found in {row['file']}: {each}"


def test_no_message_is_lost_or_read_as_an_error() -> None:
    """Every file is read, those without agreed attachments too."""
    files = sorted(path.name for path in MAIL.glob("*.eml"))
    assert len(files) == len(ROWS)
    assert sum(len(read(name)) for name in files) >= sum(each["agreed"] for row in ROWS for each in row["attachments"])


@pytest.mark.parametrize("place", DECISIONS, ids=lambda place: f"{place[0]}:{place[1]}")
def test_where_parsers_differ_the_decision_holds(place: tuple[str, str]) -> None:
    file, path = place
    assert [(got.name, got.content_type, got.size) for got in read(file) if got.path == path] == [DECISIONS[place]]
