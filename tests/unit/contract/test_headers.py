"""Content-Disposition, file names, Retry-After and RateLimit against the words of the contract and the RFCs."""

from datetime import UTC, datetime

import pytest

from satchel.contract.headers import (
    RateLimitState,
    content_disposition,
    parse_content_disposition,
    parse_rate_limit,
    parse_retry_after,
    retry_after,
    safe_file_name,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("invoice.pdf", 'attachment; filename="invoice.pdf"'),
        ("Q1 (final), v2; a=b.pdf", 'attachment; filename="Q1 (final), v2; a=b.pdf"'),
        ("100%.pdf", 'attachment; filename="100%.pdf"'),
        ("a:b*c?.pdf", 'attachment; filename="a:b*c?.pdf"'),
        ("a%41.pdf", "attachment; filename*=UTF-8''a%2541.pdf; filename=\"a_41.pdf\""),
        ('say "hi".pdf', "attachment; filename*=UTF-8''say%20%22hi%22.pdf; filename=\"say _hi_.pdf\""),
        ("résumé.pdf", "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf; filename=\"resume.pdf\""),
        ("請求書.pdf", "attachment; filename*=UTF-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf; filename=\"attachment.pdf\""),
        ("€.pdf", "attachment; filename*=UTF-8''%E2%82%AC.pdf; filename=\"attachment.pdf\""),
    ],
)
def test_the_header_that_a_name_gets(name: str, header: str) -> None:
    assert content_disposition(name) == header


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("../../etc/passwd", "___.._etc_passwd"),
        ("..\\..\\boot.ini", "___.._boot.ini"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
        ("a\x00.pdf", "a.pdf"),
        ("gnp\u202etxt.exe", "gnptxt.exe"),
        (".bashrc", "_bashrc"),
        ("..", "attachment"),
        ("", "attachment"),
        ("   ", "attachment"),
        ("\ud800.pdf", "?.pdf"),
    ],
)
def test_hostile_names_become_one_harmless_component(hostile: str, safe: str) -> None:
    assert safe_file_name(hostile) == safe


def test_a_long_name_is_cut_and_keeps_its_extension() -> None:
    name = safe_file_name("ä" * 4000 + ".pdf")
    assert name.endswith("ä.pdf")
    assert len(name.encode()) <= 200


@pytest.mark.parametrize("name", ["‥", "․bashrc", "﹒﹒", "．．／etc"])
def test_the_fallback_makes_no_dots_of_characters_that_decompose_to_them(name: str) -> None:
    fallback = content_disposition(name).rpartition("filename=")[2].strip('"')
    assert not fallback.startswith(".")
    assert "/" not in fallback


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, None),
        ("", None),
        ("attachment", None),
        ("inline; filename=plain.pdf", "plain.pdf"),
        ('attachment; filename="a \\"b\\" \\\\c.pdf"', 'a "b" \\c.pdf'),
        ('attachment; filename="never closed.pdf', "never closed.pdf"),
        ("attachment; FileName*=utf-8'en'%e2%82%ac.pdf; filename=x.pdf", "€.pdf"),
        ("attachment; filename=x.pdf; filename*=ISO-8859-1''%A3.pdf", "£.pdf"),
        ("attachment; filename*=UTF-8''%ff.pdf; filename=x.pdf", "x.pdf"),
        ("attachment; filename*=punycode''%ff; filename=x.pdf", "x.pdf"),
        ("attachment; filename*=broken; filename=x.pdf", "x.pdf"),
        ('attachment; note="; filename=evil"; filename="good.pdf"', "good.pdf"),
        ("attachment; filename=first.pdf; filename=second.pdf", "first.pdf"),
    ],
)
def test_reading_what_other_servers_send(header: str | None, name: str | None) -> None:
    assert parse_content_disposition(header) == name


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0),
        (" 120 ", 120),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90),
        ("Sun Mar  1 12:01:30 2026", 90),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (59.01, "60"), (60, "60")])
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    assert retry_after(seconds) == header


def test_rate_limit_headers_go_both_ways() -> None:
    state = RateLimitState(limit=100, window_seconds=60, remaining=42, reset_seconds=17.2)
    headers = state.headers()
    assert headers == {"RateLimit-Policy": '"account";q=100;w=60', "RateLimit": '"account";r=42;t=18'}
    assert parse_rate_limit(headers["RateLimit-Policy"], headers["RateLimit"]) == RateLimitState(100, 60, 42, 18)


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        ('"burst";q=100;qu="requests";w=60, "day";q=9;w=86400', '"burst";r=5;pk=:cHN0:;t=30'),
        ('"other";q=1;w=1, "burst"; q=100; w=60', '"burst";r=5;t=30'),
    ],
)
def test_rate_limit_of_other_servers(policy: str, state: str) -> None:
    assert parse_rate_limit(policy, state) == RateLimitState(100, 60, 5, 30)


@pytest.mark.parametrize(("policy", "state"), [(None, None), ("100", "5"), ('"a";q=1;w=1', '"b";r=1;t=1'), ("", "")])
def test_no_rate_limit_is_told(policy: str | None, state: str | None) -> None:
    assert parse_rate_limit(policy, state) is None
