"""Archives of a real gateway, opened by the programs that people have.

SATCHEL_TEST_ARCHIVE_GIB sets the size of the large one, which needs about two and a half times that on disk; with 5 it
passes the 4 GiB where ZIP64 begins. Without it a small one takes its place.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from satchel.contract.routes import DOWNLOAD_ARCHIVE
from satchel.testing.content import Content, Generated, Given, sha256
from satchel.testing.mail import (
    SampleMessage,
    deliver,
    file_part,
    message,
    message_with_message,
    tiny_pdf,
)
from tests.e2e.gateway_process import Gateway, gateway
from tests.e2e.observe import rows, until
from tests.services import need

MIB = 1024 * 1024
LARGE_GIB = float(os.environ.get("SATCHEL_TEST_ARCHIVE_GIB", "0.05"))
MANY = 5000
CEILING_MIB = 40


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("archive") / "gateway") as running:
        running.start()
        yield running


def delivered(running: Gateway, sample: SampleMessage) -> tuple[str, Path]:
    """The archive's URL, and the message's file."""
    database, query = running.folder / "data" / "gateway.db", "SELECT message_id FROM messages"
    known = set(rows(database, query))
    path = deliver(running.maildir, sample)
    [(message_id,)] = until(lambda: set(rows(database, query)) - known, "the message in the index")
    return running.url + DOWNLOAD_ARCHIVE.url(message_id=message_id), path


def fetched(running: Gateway, url: str, target: Path) -> requests.Response:
    with requests.get(url, headers=running.headers, stream=True, timeout=600) as answer, target.open("wb") as file:
        assert answer.status_code == 200
        shutil.copyfileobj(answer.raw, file, MIB)
    return answer


def programs() -> list[list[str]]:
    return [
        [need("unzip", "install Debian's package unzip"), "-tqq"],
        [need("7z", "install Debian's package p7zip-full"), "t", "-bd", "-bso0"],
    ]


def accepted(path: Path) -> bool:
    """Whether every program takes the archive for whole; they must be of one opinion."""
    opinions = [subprocess.run([*each, str(path)], capture_output=True, check=False).returncode for each in programs()]
    try:
        with zipfile.ZipFile(path) as archive:
            opinions.append(int(archive.testzip() is not None))
    except zipfile.BadZipFile:
        opinions.append(2)
    assert len({bool(opinion) for opinion in opinions}) == 1, opinions
    return not any(opinions)


def digests(path: Path) -> dict[str, str]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            digest = hashlib.sha256()
            with archive.open(name) as member:
                while block := member.read(MIB):
                    digest.update(block)
            found[name] = digest.hexdigest()
    return found


def test_every_program_opens_it_and_finds_the_same_bytes(running: Gateway, tmp_path: Path) -> None:
    contents: dict[str, Content] = {
        "invoice.pdf": tiny_pdf("Invoice"),
        "請求書.pdf": Generated(300_000),
        "notes.txt": Given(b"All the same line.\r\n" * 50_000),
        "empty.txt": Given(b""),
    }
    types = {"pdf": "application/pdf", "txt": "text/plain"}
    parts = [file_part(name, types[name[-3:]], content) for name, content in contents.items()]
    again = file_part("INVOICE.pdf", "application/pdf", Given(b"another"))
    url, _ = delivered(running, message("mixed", "Files", [*parts, again, message_with_message().body]))
    answer = fetched(running, url, tmp_path / "a.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert accepted(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").stat().st_size < 500_000
    found = digests(tmp_path / "a.zip")
    del found["manifest.json"]
    expected = {name: sha256(content) for name, content in contents.items()}
    assert found == {**expected, "INVOICE (2).pdf": sha256(Given(b"another"))}
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert [each["path"] for each in manifest["attachments"]][:5] == [*contents, "INVOICE (2).pdf"]
    fetched(running, url, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    # Extracted by a program that takes the names as they stand.
    subprocess.run(
        [need("unzip", "install Debian's package unzip"), "-q", str(tmp_path / "a.zip"), "-d", str(tmp_path / "out")],
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*found, "manifest.json"])


def test_five_thousand_files(running: Gateway, tmp_path: Path) -> None:
    contents = [Given(b"file %d" % number) for number in range(MANY)]
    parts = [file_part(f"file {number % 100}.pdf", "application/pdf", each) for number, each in enumerate(contents)]
    url, _ = delivered(running, message("many", "Many files", parts))
    answer = fetched(running, url, tmp_path / "many.zip")
    assert int(answer.headers["Content-Length"]) == (tmp_path / "many.zip").stat().st_size
    assert accepted(tmp_path / "many.zip")
    found = digests(tmp_path / "many.zip")
    del found["manifest.json"]
    assert list(found.values()) == [sha256(each) for each in contents]


def test_a_large_archive_costs_little_memory(running: Gateway, tmp_path: Path) -> None:
    large, small = Generated(int(LARGE_GIB * 1024) * MIB, 7), Generated(3 * MIB, 8)
    parts = [
        file_part("large.zip", "application/zip", large),
        file_part("behind it.zip", "application/zip", small),
    ]
    url, path = delivered(running, message("large", "A large file", parts))
    requests.head(url, headers=running.headers, timeout=600)
    assert running.process is not None
    process, done = psutil.Process(running.process.pid), threading.Event()
    idle = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        answer = fetched(running, url, tmp_path / "large.zip")
    finally:
        done.set()
        watching.join()
    path.unlink()
    print(f"{LARGE_GIB} GiB: {(peak - idle) / MIB:.1f} MiB above idle")
    assert int(answer.headers["Content-Length"]) == (tmp_path / "large.zip").stat().st_size
    assert accepted(tmp_path / "large.zip")
    found = digests(tmp_path / "large.zip")
    del found["manifest.json"]
    assert found == {"large.zip": sha256(large), "behind it.zip": sha256(small)}
    assert (peak - idle) / MIB <= CEILING_MIB


def until_it_breaks(answer: requests.Response, breaking: Callable[[], object]) -> bytes:
    """What came of an answer that is broken when its first piece has arrived."""
    pieces = answer.iter_content(64 * 1024)
    got = next(pieces)
    breaking()
    try:
        for piece in pieces:
            got += piece
    except requests.RequestException:
        return got
    pytest.fail("the archive ended as if it were whole")


@pytest.mark.parametrize("content_type", ["application/pdf", "application/x-data"])
def test_a_break_in_the_middle_leaves_what_no_program_takes_for_whole(
    running: Gateway, tmp_path: Path, content_type: str
) -> None:
    parts = [file_part(f"{number}", content_type, Generated(24 * MIB, number)) for number in range(3)]
    url, path = delivered(running, message(f"broken {content_type[12:]}", "Breaks", parts))
    with requests.get(url, headers=running.headers, stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        got = until_it_breaks(answer, lambda: os.truncate(path, 40 * MIB))
    (tmp_path / "broken.zip").write_bytes(got)
    assert 1024 < len(got) < 72 * MIB
    assert not accepted(tmp_path / "broken.zip")


def test_a_gateway_that_is_killed_leaves_what_no_program_takes_for_whole(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway") as running:
        running.start()
        parts = [file_part(f"{number}.pdf", "application/pdf", Generated(24 * MIB, number)) for number in range(3)]
        url, _ = delivered(running, message("killed", "Killed", parts))
        with requests.get(url, headers=running.headers, stream=True, timeout=60) as answer:
            got = until_it_breaks(answer, lambda: running.end(signal.SIGKILL))
    (tmp_path / "broken.zip").write_bytes(got)
    assert not accepted(tmp_path / "broken.zip")
