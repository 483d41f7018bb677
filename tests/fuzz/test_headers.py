"""Header parsers meet arbitrary text: they never raise; header builders meet arbitrary names: they never inject."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.headers import (
    content_disposition,
    parse_content_disposition,
    parse_rate_limit,
    parse_retry_after,
    safe_file_name,
)
from satchel.contract.ranges import ByteRange, RangeNotSatisfiable, parse_content_range, parse_range

NOW = datetime(2026, 3, 1, tzinfo=UTC)
# Weighted towards what has a meaning in headers, paths and terminals; surrogates too, as mail has them.
NASTY = st.sampled_from(
    [*"\"\\/;=%*'.,-_ \r\n\t\x00\x1b\u202e\u2024\u2025\uff0f\u2028é請\ud800", "filename=", "UTF-8''"]
)
NAMES = st.text(st.characters(exclude_categories=()), max_size=300) | st.lists(
    NASTY | st.characters(exclude_categories=()), max_size=300
).map("".join)
NAMES_OF_PARTS = ["attachment", "bytes", "filename", "filename*", "UTF-8", "punycode", "idna", "q=", "r=", "t=", "w="]
MARKS = [";", "=", '"', "\\", "''", "%", "-", "/", "*", " ", ",", '"a"']
VALUES = ["ff", "0", "9" * 30, "Sun, 01 Mar 2026 00:00:00 ", "+9999999999999999999999"]
WORDS = [*NAMES_OF_PARTS, *MARKS, *VALUES]
HEADERS = st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=30).map("".join)


@given(NAMES)
def test_a_safe_name_is_one_visible_component(name: str) -> None:
    safe = safe_file_name(name)
    assert safe == safe_file_name(safe)
    assert 0 < len(safe.encode()) <= 200
    assert not safe.startswith(".")
    assert not set(safe) & set("/\\\x00\r\n\x1b\u202e\u2028")


@given(NAMES)
def test_a_name_comes_back_from_its_header_and_injects_nothing(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert parse_content_disposition(header) == safe_file_name(name)


@given(NAMES)
def test_published_clients_get_a_harmless_name(name: str) -> None:
    fallback = content_disposition(name).rpartition('; filename="')[2].removesuffix('"')
    assert '"' not in fallback
    assert fallback == safe_file_name(fallback)


@given(HEADERS)
def test_any_disposition_is_read_without_raising(header: str) -> None:
    name = parse_content_disposition(header)
    assert name is None or safe_file_name(name)


@given(HEADERS)
def test_any_retry_after_is_read_without_raising(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or seconds >= 0


@given(HEADERS, HEADERS)
def test_any_rate_limit_is_read_without_raising(policy: str, state: str) -> None:
    found = parse_rate_limit(policy, state)
    assert found is None or min(found.limit, found.window_seconds, found.remaining, found.reset_seconds) >= 0


@given(HEADERS, st.integers(0, 2**62))
def test_any_range_lies_within_the_file(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.stop <= size


@given(st.integers(0, 10**15), st.integers(1, 10**15), st.integers(0, 10**15))
def test_a_range_comes_back_from_its_header(start: int, length: int, behind: int) -> None:
    wanted, size = ByteRange(start, start + length), start + length + behind
    assert parse_range(f"bytes={wanted.start}-{wanted.stop - 1}", size) == wanted
    assert parse_content_range(wanted.content_range(size)) == (wanted, size)


@given(HEADERS)
def test_any_content_range_makes_sense_or_states_nothing(header: str) -> None:
    found, size = parse_content_range(header)
    assert found is None or (found.length > 0 and (size is None or found.stop <= size))
