"""Which addresses a pattern means, and which only look as if."""

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


labels = st.text(alphabet="abcxyz0189äöüßéñøжщ日本", min_size=1, max_size=12)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda domain: spelled(domain) is not None)
locals_ = st.text(alphabet="abcxyz.+-_09éß", min_size=1, max_size=12)
PIECES = ["@", "example.com", "@example.com", ".example.com", "a", "<", ">", '"', ",", " ", "\0", "\u3002", "xn--", "."]


def spelled(domain: str) -> str | None:
    """In ASCII; None for what is no domain."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return None


@given(locals_, domains)
def test_an_address_is_of_its_domain_however_either_is_spelled(local: str, domain: str) -> None:
    ascii_domain = spelled(domain)
    assert ascii_domain is not None
    for pattern in (domain, ascii_domain, domain.upper() if "ß" not in domain else domain, f"{ascii_domain}."):
        check_pattern(f"@{pattern}")
        for address in (f"{local}@{domain}", f"{local}@{ascii_domain.upper()}", f"{local}@{domain}."):
            assert fits(f"@{pattern}", address)
            assert fits(f"@*.{pattern}", address)
            assert fits(f"@*.{pattern}", address.replace("@", "@post."))
            assert not fits(f"@{pattern}", address.replace("@", "@post."))
            assert not fits(f"@*.{pattern}", address.replace("@", "@post"))


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=40))
def test_what_fits_a_domain_ends_in_it_behind_a_single_at(address: str) -> None:
    domain = spelled(address.rpartition("@")[2].removesuffix("."))
    if fits("@*.example.com", address):
        assert address.count("@") == 1
        assert domain is not None
        assert f".{domain}".endswith(".example.com")
    if fits("@example.com", address):
        assert domain == "example.com"
