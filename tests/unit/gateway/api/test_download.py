"""The download: headers, ranges, and bodies that break (contract section 7)."""

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from satchel.contract.routes import DOWNLOAD_ATTACHMENT
from satchel.gateway.api.download import conditional_headers, plan_download, safe_content_type
from satchel.mail.source import SourceUnavailable
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import Answer, MemoryContent, MemorySource, attachment, call

PATH = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="a1")
DATA = bytes(range(100))
PIECES: list[bytes | Exception] = [DATA[:40], DATA[40:80], DATA[80:]]

Download = Callable[..., Awaitable[Answer]]


@pytest.fixture
def content(source: MemorySource, make_key: MakeKey, index: Callable[..., None]) -> MemoryContent:
    index("m1")
    content = MemoryContent(attachment("a1", DATA), list(PIECES), len(DATA))
    source.files["m1"] = {"a1": content}
    return content


@pytest.fixture
def download(content: MemoryContent, make_key: MakeKey, make_app: MakeApp) -> Download:
    app, key = make_app(), make_key()

    def fetch(headers: dict[str, str] | None = None, **arguments: Any) -> Awaitable[Answer]:
        return call(app, PATH, headers={"authorization": f"Bearer {key}", **(headers or {})}, **arguments)

    return fetch


async def test_the_whole_file(content: MemoryContent, download: Download) -> None:
    answer = await download({"x-request-id": "r"})
    assert (answer.status, answer.body, answer.complete) == (200, DATA, True)
    assert answer.headers == {
        "x-content-type-options": "nosniff",
        "etag": '"v1"',
        "accept-ranges": "bytes",
        "content-type": "application/pdf",
        "content-disposition": 'attachment; filename="invoice.pdf"',
        "content-length": "100",
        "x-request-id": "r",
    }
    assert content.closed == 1


@pytest.mark.parametrize("asked", ["bytes=1-2", "bytes=100-"])
async def test_head_knows_no_ranges(download: Download, asked: str) -> None:
    answer = await download({"range": asked}, method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "100")


async def test_head_says_the_same_and_reads_nothing(content: MemoryContent, download: Download) -> None:
    content.pieces = [AssertionError("was read")]
    answer = await download(method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "100")
    assert content.closed == 1


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-", 10, 100), ("bytes=-5", 95, 100), ("bytes=30-49", 30, 50)],
)
async def test_ranges(content: MemoryContent, download: Download, asked: str, start: int, stop: int) -> None:
    answer = await download({"range": asked})
    assert (answer.status, answer.body, answer.complete) == (206, DATA[start:stop], True)
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/100"
    assert answer.headers["content-length"] == str(stop - start)
    assert content.closed == 1


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=0-1,5-6", "lines=1-2", "nonsense"])
async def test_ranges_that_are_not_served_give_the_whole(download: Download, asked: str) -> None:
    answer = await download({"range": asked})
    assert (answer.status, answer.body) == (200, DATA)


async def test_a_range_behind_the_end(content: MemoryContent, download: Download) -> None:
    answer = await download({"range": "bytes=100-"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */100")
    assert content.closed == 1


@pytest.mark.parametrize(
    ("condition", "status"), [('"v1"', 206), ('"v2"', 200), ('W/"v1"', 200), ("Thu, 01 Jan 2026 00:00:00 GMT", 200)]
)
async def test_if_range(download: Download, condition: str, status: int) -> None:
    assert (await download({"range": "bytes=1-2", "if-range": condition})).status == status


async def test_if_range_without_an_etag_gives_the_whole(content: MemoryContent, download: Download) -> None:
    content.etag = None
    answer = await download({"range": "bytes=1-2", "if-range": '"v1"'})
    assert (answer.status, "etag" in answer.headers) == (200, False)


@pytest.mark.parametrize("condition", ['"v1"', 'W/"v1"', "*", '"a", "v1"'])
async def test_if_none_match(content: MemoryContent, download: Download, condition: str) -> None:
    answer = await download({"if-none-match": condition})
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"v1"')
    assert "content-length" not in answer.headers
    assert content.closed == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("condition", "status"), [('"v1"', 200), ("*", 200), ('"v2"', 412), ('W/"v1"', 412)])
async def test_if_match(content: MemoryContent, download: Download, condition: str, status: int, method: str) -> None:
    answer = await download({"if-match": condition, "if-none-match": '"v9"'}, method=method)
    assert answer.status == status
    assert content.closed == 1


async def test_a_failed_if_match_comes_before_all_other_conditions(download: Download) -> None:
    answer = await download({"if-match": '"v2"', "if-none-match": '"v1"', "range": "bytes=100-"})
    assert answer.status == 412
    assert b'"reason":"precondition_failed"' in answer.body


async def test_conditions_on_dates_are_ignored_since_no_date_is_told(download: Download) -> None:
    date = "Thu, 01 Jan 1970 00:00:00 GMT"
    answer = await download({"if-modified-since": date, "if-unmodified-since": date})
    assert (answer.status, "last-modified" in answer.headers) == (200, False)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("if-none-match", '"v9"'), ("if-none-match", '"v1"')], 304),
        ([("range", "bytes=0-1"), ("range", "bytes=5-6")], 200),
        ([("range", "bytes=0-1")], 206),
    ],
)
def test_lines_of_one_name_are_one_list(lines: list[tuple[str, str]], status: int) -> None:
    headers = [(name.encode(), value.encode()) for name, value in lines]
    request = Request({"type": "http", "method": "GET", "headers": headers})
    content = MemoryContent(attachment("a1", DATA), [], len(DATA))
    assert plan_download(content, conditional_headers(request)).status == status


@pytest.mark.parametrize("pieces", [[], [b""]])
async def test_an_empty_file(content: MemoryContent, download: Download, pieces: list[bytes | Exception]) -> None:
    content.pieces, content.size = pieces, 0
    answer = await download()
    assert (answer.status, answer.body, answer.headers["content-length"], answer.complete) == (200, b"", "0", True)


async def test_a_file_of_unknown_size(content: MemoryContent, download: Download) -> None:
    content.size = None
    answer = await download({"range": "bytes=1-2"})
    assert (answer.status, answer.body, answer.complete) == (200, DATA, True)
    assert not {"content-length", "accept-ranges"} & answer.headers.keys()


async def test_a_file_of_unknown_size_is_not_sent_where_a_break_would_look_like_its_end(
    content: MemoryContent, download: Download
) -> None:
    assert (await download(http_version="1.0")).status == 200
    content.size = None
    answer = await download(http_version="1.0")
    assert (answer.status, answer.headers["content-type"]) == (505, "application/json")
    assert b"HTTP/1.1" in answer.body
    assert content.closed == 2


async def test_a_failure_before_the_first_byte_is_answered_as_one(content: MemoryContent, download: Download) -> None:
    content.pieces = [SourceUnavailable("gone")]
    answer = await download()
    assert (answer.status, answer.complete) == (503, True)
    assert answer.headers["content-type"] == "application/json"
    assert content.closed == 1


async def test_a_failure_after_all_bytes_of_a_small_file_is_answered_as_one(
    content: MemoryContent, download: Download
) -> None:
    content.pieces = [DATA, SourceUnavailable("changed")]
    assert (await download()).status == 503


async def test_a_small_file_that_is_longer_than_announced_is_no_success(
    content: MemoryContent, download: Download
) -> None:
    content.pieces, content.is_careless = [DATA, b"more"], True
    answer = await download()
    assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
    assert content.closed == 1


BREAKS: list[list[bytes | Exception]] = [
    [DATA[:40], SourceUnavailable("broken")],
    [DATA[:40], DATA[40:], SourceUnavailable("changed while it was read")],
    [DATA[:40], ZeroDivisionError("a defect")],
]
WRONG_LENGTHS: list[list[bytes | Exception]] = [[DATA[:40]], [DATA[:40], DATA[40:], b"more"], [DATA + b"more"]]


@pytest.mark.parametrize(
    ("pieces", "size"),
    [*((pieces, 100) for pieces in BREAKS + WRONG_LENGTHS), *((pieces, None) for pieces in BREAKS)],
)
async def test_a_body_that_breaks_never_looks_complete(
    content: MemoryContent, download: Download, pieces: list[bytes | Exception], size: int | None
) -> None:
    content.pieces, content.size, content.is_careless = pieces, size, True
    with capture_logs() as logs:
        answer = await download()
    assert (answer.status, answer.complete) == (200, False)
    assert len(answer.body) < 100
    assert content.closed == 1
    assert any(line["event"] in {"answer_broken_off", "call_failed"} for line in logs)


SHA256 = hashlib.sha256(DATA).hexdigest()
TAKES_TRAILERS = {"te": "trailers"}
DIGEST = f"sha-256=:{b64encode(hashlib.sha256(DATA).digest()).decode()}:"


@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"range": "bytes=1-2"}, 206)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_known_digest_is_told(
    content: MemoryContent, download: Download, asked: dict[str, str], status: int, method: str
) -> None:
    content.sha256 = SHA256
    answer = await download(asked | TAKES_TRAILERS, method=method)
    assert answer.headers["repr-digest"] == DIGEST
    assert answer.status == (200 if method == "HEAD" else status)
    assert "trailer" not in answer.headers
    assert answer.trailers == {}


async def test_a_digest_that_the_reading_brings_follows_the_body(content: MemoryContent, download: Download) -> None:
    content.size, content.found_sha256 = None, SHA256
    answer = await download(TAKES_TRAILERS)
    assert (answer.status, answer.body, answer.complete) == (200, DATA, True)
    assert (answer.headers["trailer"], answer.trailers) == ("Repr-Digest", {"repr-digest": DIGEST})
    assert "repr-digest" not in answer.headers


async def test_no_trailer_without_a_digest(content: MemoryContent, download: Download) -> None:
    content.size = None
    answer = await download(TAKES_TRAILERS)
    assert (answer.complete, answer.trailers) == (True, {})


@pytest.mark.parametrize(("size", "headers"), [(None, {}), (len(DATA), TAKES_TRAILERS)])
async def test_no_trailer_where_it_is_not_wanted_or_the_length_is_known(
    content: MemoryContent, download: Download, size: int | None, headers: dict[str, str]
) -> None:
    content.size, content.found_sha256 = size, SHA256
    answer = await download(headers)
    assert (answer.body, answer.complete, answer.trailers) == (DATA, True, {})
    assert "trailer" not in answer.headers


async def test_a_client_that_leaves_ends_the_reading(content: MemoryContent, download: Download) -> None:
    content.stalls_at = 2
    answer = await download(leave_after_bytes=1)
    assert answer.body == DATA[:40]
    assert (answer.status, answer.complete) == (200, False)
    assert content.closed == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Rechnung März.pdf", "attachment; filename*=UTF-8''Rechnung%20M%C3%A4rz.pdf; filename=\"Rechnung Marz.pdf\""),
        ('a"\r\nSet-Cookie: x=y.pdf', None),
        ("請求書.pdf", "attachment; filename*=UTF-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf; filename=\"___.pdf\""),
    ],
)
async def test_names(
    source: MemorySource, content: MemoryContent, download: Download, name: str, expected: str | None
) -> None:
    content.attachment = attachment("a1", DATA, name=name)
    header = (await download()).headers["content-disposition"]
    assert not any(c in header for c in "\r\n\0")
    if expected is not None:
        assert header.split("; filename=")[0] == expected.split("; filename=")[0]


@pytest.mark.parametrize("content_type", ["application/pdf", "image/svg+xml", "application/vnd.ms-excel"])
def test_types(content_type: str) -> None:
    assert safe_content_type(content_type) == content_type


@pytest.mark.parametrize("content_type", ["", "pdf", "a/b\r\nX: y", "a/b; charset=x", "text/ü", "a/" + "b" * 200, "/"])
def test_types_that_are_none(content_type: str) -> None:
    assert safe_content_type(content_type) == "application/octet-stream"
