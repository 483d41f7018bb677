"""Which addresses a pattern means, and which only look as if."""

import pytest

from satchel.gateway.rules.patterns import check_pattern, fits


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann@Example.com", "aNN@eXAMPLE.COM"),
        ("@example.com", "ann@example.com"),
        ("@example.com", "ann@example.com."),
        ("@*.example.com", "ann@example.com"),
        ("@*.example.com", "ann@a.example.com"),
        ("@*.example.com", "ann@b.a.example.com"),
        ("@müller.example", "ann@xn--mller-kva.example"),
        ("@xn--mller-kva.example", "ann@MÜLLER.example"),
        ("@*.müller.example", "ann@post.xn--mller-kva.example"),
        ("@straße.example", "ann@xn--strae-oqa.example"),
        ("jörg@example.com", "JÖRG@example.com"),
        ("@_dmarc.example.com", "x@_dmarc.example.com"),
    ],
)
def test_fits(pattern: str, address: str) -> None:
    check_pattern(pattern)
    assert fits(pattern, address)


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("@example.com", "ann@a.example.com"),
        ("@example.com", "ann@notexample.com"),
        ("@*.example.com", "ann@notexample.com"),
        ("@example.com", "ann@example.com.evil.example"),
        ("@example.com", "ann@evil.example@example.com"),
        ("@example.com", "@example.com"),
        ("@example.com", "example.com"),
        ("@example.com", ""),
        ("@example.com", "ann@example.com>evil"),
        ("@example.com", "ann@evil.example,bob@example.com"),
        ("@example.com", "ann@evil.example bob@example.com"),
        ("@example.com", "<ann@example.com>"),
        ("@example.com", '"ann@evil.example"@example.com'),
        ("@example.com", "ann@example。com"[:-4] + "．com.evil.example"),
        ("@example.com", "ann@example.com\0"),
        ("@example.com", f"{'x' * 400}@example.com"),
        ("@strasse.example", "ann@straße.example"),
        ("ann@example.com", "annette@example.com"),
        ("ann@example.com", "ann@a.example.com"),
        ("@*.co.uk", "ann@co.uk.evil.example"),
        ("@example.com", "ann@еxample.com"),
    ],
)
def test_does_not_fit(pattern: str, address: str) -> None:
    check_pattern(pattern)
    assert not fits(pattern, address)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "@",
        "example.com",
        "@*",
        "@*.",
        "*@example.com",
        "@a.*.com",
        "a@*.example.com",
        "a@b@c.example",
        "@exa mple.com",
        "Ann <ann@example.com>",
        "@example..com",
        "@-a.example",
        "@example.com\n",
        f"@{'a' * 64}.example",
        "@[127.0.0.1]",
    ],
)
def test_what_no_address_can_fit_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a domain"):
        check_pattern(pattern)
