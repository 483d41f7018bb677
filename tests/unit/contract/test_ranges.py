"""Ranges and validators (RFC 9110 sections 8.8, 13 and 14)."""

import pytest

from satchel.contract.ranges import (
    ByteRange,
    RangeNotSatisfiable,
    if_match,
    if_none_match,
    if_range,
    parse_content_range,
    parse_range,
    quote_etag,
    unquote_etag,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", ByteRange(0, 10)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=3-5", ByteRange(3, 6)),
        ("Bytes = 3 - 5", ByteRange(3, 6)),
        ("bytes=5-999", ByteRange(5, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-99", ByteRange(0, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_the_range_that_is_sent(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=-1", 0)]
)
def test_a_range_behind_the_end_is_refused(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes 3-5/10", (ByteRange(3, 6), 10)),
        ("bytes 3-5/*", (ByteRange(3, 6), None)),
        ("bytes */10", (None, 10)),
        (None, (None, None)),
        ("bytes 5-3/10", (None, None)),
        ("bytes 5-30/10", (None, None)),
        ("bytes " + "9" * 5000 + "-9/10", (None, None)),
    ],
)
def test_content_range(header: str | None, expected: tuple[ByteRange | None, int | None]) -> None:
    assert parse_content_range(header) == expected


def test_content_range_goes_both_ways() -> None:
    assert parse_content_range(ByteRange(3, 6).content_range(10)) == (ByteRange(3, 6), 10)


def test_etags_go_both_ways_and_weak_ones_are_no_validators() -> None:
    assert unquote_etag(quote_etag("abc")) == "abc"
    assert unquote_etag('W/"abc"') is None
    assert unquote_etag("abc") is None
    assert unquote_etag(None) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("*", True),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ('"x"', False),
        ("abc", False),
    ],
)
def test_if_none_match_compares_weakly(header: str | None, expected: bool) -> None:
    assert if_none_match(header, "abc") is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, True), ('"abc"', True), ('W/"abc"', False), ('"x"', False), ("Sun, 01 Mar 2026 12:00:00 GMT", False)],
)
def test_if_range_compares_strongly(header: str | None, expected: bool) -> None:
    assert if_range(header, "abc") is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, True), ("*", True), ('"abc"', True), ('"x", "abc"', True), ('W/"abc"', False), ('"x"', False), ("", False)],
)
def test_if_match_compares_strongly(header: str | None, expected: bool) -> None:
    assert if_match(header, "abc") is expected


def test_if_match_of_what_has_no_validator() -> None:
    assert if_match("*", None)
    assert not if_match('"abc"', None)
