"""What is accepted as base URL and key, and that the key shows nowhere."""

import pytest

from satchel.client import AsyncClient, Client, ConfigurationError, UnexpectedAnswer
from satchel.client.target import Target

KEY = "sk_very-secret"


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("https://host", "https://host"),
        ("https://host/", "https://host"),
        ("https://host/api/v1", "https://host"),
        (" https://host/api/v1/ ", "https://host"),
        ("HTTPS://host:8443/mail/api/v1/", "https://host:8443/mail"),
        ("https://host/mail", "https://host/mail"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.9:8080", "http://127.0.0.9:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_base_urls_lead_to_the_same_root(base_url: str, root: str) -> None:
    assert Target.parse(base_url, KEY).root == root


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "host",
        "ftp://host",
        "https://",
        "https://host:port",
        "https://host:0",
        "https://ho st",
        "https://[::1",
        "https://user:pw@host",
        "https://host?x=1",
        "https://host/#x",
        "https://host\r\nX: y",
        "https://hö.example",
    ],
)
def test_other_base_urls_are_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        Target.parse(base_url, KEY)


@pytest.mark.parametrize("base_url", ["http://satchel.example.com", "http://10.0.0.1", "http://localhost.example.com"])
def test_a_key_does_not_go_over_plain_http_unless_told(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        Target.parse(base_url, KEY)
    assert Target.parse(base_url, KEY, allow_http=True).root == base_url


@pytest.mark.parametrize("api_key", ["", "  ", "two words", "käse", "a\r\nX: y"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(api_key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Target.parse("https://host", api_key)
    assert not api_key.strip() or api_key not in str(refused.value)


def test_a_key_copied_with_its_line_end_works() -> None:
    assert Target.parse("https://host", KEY + "\n").authorization() == f"Bearer {KEY}"


def test_the_key_is_in_no_repr() -> None:
    for shown in (Target.parse("https://host", KEY), AsyncClient("https://host", KEY), Client("https://host", KEY)):
        assert KEY not in repr(shown)


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(ConfigurationError, match="async with"):
        await AsyncClient("https://host", KEY).list_attachments("m")
    with pytest.raises(ConfigurationError, match="with Client"):
        Client("https://host", KEY).list_attachments("m")


@pytest.mark.parametrize(
    ("root", "link", "url"),
    [
        ("https://host", "https://host/api/v1/x?max=5", "https://host/api/v1/x?max=5"),
        ("https://host", "https://HOST:443/api/v1/x#there", "https://host/api/v1/x"),
        ("https://host", "/api/v1/x", "https://host/api/v1/x"),
        ("http://[::1]:8025", "http://[::1]:8025/api/v1/x", "http://[::1]:8025/api/v1/x"),
        # As a server names itself that a proxy stands before.
        ("https://host", "http://host/api/v1/x?a=%2F", "https://host/api/v1/x?a=%2F"),
        ("https://host/mail", "https://host/api/v1/x", "https://host/mail/api/v1/x"),
        ("https://host", "https://host/inner/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "http://10.0.0.7:8025/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "//evil.example/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "https://user@evil.example/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "https://host@evil.example/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "javascript:/api/v1/x", "https://host/api/v1/x"),
        ("https://host", "/api/v1//evil.example/api/v1/x", "https://host/api/v1/x"),
    ],
)
def test_links_are_followed_below_the_base_url_alone(root: str, link: str, url: str) -> None:
    assert Target.parse(root, KEY).follow(link) == url


@pytest.mark.parametrize(
    "link",
    [
        "",
        "https://host/",
        "https://host/api/v2/x",
        "https://host/api/v1",
        "https://host/?/api/v1/x",
        "\\\\evil.example/api/v1/x",
        "https://host\\@evil.example/api/v1/x",
        "https://[::1/api/v1/x",
        "https://host/api/v1/a b",
        "https://host/api/v1/\r\nX-Header: 1",
        "https://host/api/v1/\u202e",
        "file:///etc/passwd",
    ],
)
def test_links_to_no_path_of_the_api_are_refused(link: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="no path of the API") as refused:
        Target.parse("https://host", KEY).follow(link)
    assert KEY not in str(refused.value)
