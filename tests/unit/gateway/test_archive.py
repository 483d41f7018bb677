"""What is compressed, what the length is, and a ZIP that is fed piece by piece."""

import io
import json
import time
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.gateway.archive import is_compressed, plan_archive
from satchel.gateway.zip_writer import Entry, ZipWriter, zip_length

MOMENT = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


def entry(path: str, size: int | None, *, is_stored: bool = True, moment: datetime = MOMENT) -> Entry:
    return Entry(path, moment, is_stored=is_stored, size=size)


def attachment(name: str, content_type: str, **changes: Any) -> Attachment:
    values = {"id": name, "size": 3, "attachment_type": AttachmentType.FILE.value, "last_modified": MOMENT}
    return Attachment(name=name, content_type=content_type, **values | changes)


def written(members: list[tuple[Entry, list[bytes]]]) -> bytes:
    writer = ZipWriter()
    out = []
    for one, pieces in members:
        out += [writer.begin(one), *(writer.feed(piece) for piece in pieces), writer.end()]
    return b"".join([*out, writer.finish()])


@pytest.mark.parametrize(
    ("content_type", "name", "expected"),
    [
        ("application/pdf", "a.pdf", True),
        ("image/jpeg", "", True),
        ("image/svg+xml", "a.svg", False),
        ("image/tiff", "a.tif", False),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a.docx", True),
        ("application/msword", "a.doc", False),
        ("video/mp4", "a.mp4", True),
        ("audio/wav", "a.wav", False),
        ("text/csv", "a.csv", False),
        ("text/csv", "a.zip", False),
        ("application/octet-stream", "a.ZIP", True),
        ("application/octet-stream", "a.bin", False),
        ("application/octet-stream", "zip", True),
        ("", "a.7z", True),
    ],
)
def test_what_is_stored(content_type: str, name: str, expected: bool) -> None:
    assert is_compressed(content_type, name) is expected


def test_the_length_is_known_where_nothing_is_compressed_and_sizes_are_exact() -> None:
    stored, deflated = attachment("a.pdf", "application/pdf"), attachment("a.txt", "text/plain")
    assert plan_archive("m", [stored], sizes_are_exact=True).length is not None
    assert plan_archive("m", [stored], sizes_are_exact=False).length is None
    assert plan_archive("m", [stored, deflated], sizes_are_exact=True).length is None
    assert plan_archive("m", [], sizes_are_exact=False).length is not None


def test_an_archive_of_no_files_has_a_manifest() -> None:
    item = attachment("n", "message/rfc822", attachment_type=AttachmentType.ITEM.value)
    plan = plan_archive("m", [item], sizes_are_exact=True)
    data = written([(plan.manifest_entry, [plan.manifest])])
    assert len(data) == plan.length
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["manifest.json"]
        assert json.loads(archive.read("manifest.json"))["attachments"][0]["path"] is None


@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.parametrize("is_sized", [True, False])
def test_members_come_out_as_they_went_in(is_stored: bool, is_sized: bool) -> None:
    members = {"größe 請求書.txt": [b"a" * 1000, b"", b"b" * 70_000], "empty": [], "one": [b"1"]}
    data = written(
        [
            (entry(path, sum(map(len, pieces)) if is_sized else None, is_stored=is_stored), pieces)
            for path, pieces in members.items()
        ]
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == {
            path: b"".join(pieces) for path, pieces in members.items()
        }
        assert {info.date_time for info in archive.infolist()} == {(2026, 1, 2, 3, 4, 6)}


def test_the_length_told_is_the_length() -> None:
    entries = [entry(f"größe {number}.pdf", number) for number in range(300)]
    data = written([(one, [b"x" * (one.size or 0)]) for one in entries])
    assert len(data) == zip_length(entries)
    assert zip_length([*entries, entry("a", None)]) is None
    assert zip_length([*entries, entry("a", 1, is_stored=False)]) is None


def test_the_same_files_give_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = written([(entry("a", 1), [b"1"])])
    later = time.struct_time((2050, 1, 1, 0, 0, 0, 0, 1, 0))
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    assert written([(entry("a", 1), [b"1"])]) == first


@pytest.mark.parametrize(("year", "expected"), [(1970, (1980, 1, 1, 0, 0, 0)), (2200, (2107, 12, 31, 23, 59, 58))])
def test_times_beyond_what_zip_can_say(year: int, expected: tuple[int, ...]) -> None:
    data = written([(entry("a", 1, moment=datetime(year, 5, 5, tzinfo=UTC)), [b"1"])])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].date_time == expected


def test_a_member_that_comes_to_another_size_ends_the_archive() -> None:
    writer = ZipWriter()
    writer.begin(entry("a", 2))
    writer.feed(b"1")
    with pytest.raises(ValueError, match="size"):
        writer.end()


def test_a_large_member_is_zip64_from_its_header_on() -> None:
    header = ZipWriter().begin(entry("a", 5 << 30))
    assert header[4] == 45
    assert ZipWriter().begin(entry("a", None))[4] == 45
    assert ZipWriter().begin(entry("a", 1000))[4] == 20


def test_times_are_utc_and_unknown_ones_the_first() -> None:
    local = attachment("a.pdf", "application/pdf", last_modified=MOMENT.astimezone())
    unknown = plan_archive("m", [attachment("b", "", last_modified=None)], sizes_are_exact=True).members[0]
    assert plan_archive("m", [local], sizes_are_exact=True).members[0].entry.moment == MOMENT
    assert unknown.entry.moment == datetime(1980, 1, 1, tzinfo=UTC)
