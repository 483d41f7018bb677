"""Where calls go and with which key, checked before anything is sent. Refuses plain HTTP beyond this machine."""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from satchel.client.errors import ConfigurationError, UnexpectedAnswer
from satchel.contract.routes import BASE_PATH

# RFC 6750 section 2.1, wider: any visible ASCII, because keys are opaque.
_KEY = re.compile(r"[\x21-\x7e]+")
_URL_CHARACTERS = re.compile(r"[\x21-\x7e]+")
# Without the backslash, which some take for a slash.
_LINK_CHARACTERS = re.compile(r"[\x21-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Target:
    """A server and the key for it. `root` has no trailing slash and no `/api/v1`; the key is in no repr."""

    root: str
    api_key: str = field(repr=False)

    @classmethod
    def parse(cls, base_url: str, api_key: str, *, allow_http: bool = False) -> "Target":
        """Check what the user gave. Raises ConfigurationError with the advice in its message, never with the key."""
        root = _root(base_url.strip())
        if not allow_http and root.startswith("http://") and not _is_loopback(urlsplit(root).hostname or ""):
            raise ConfigurationError(
                f"{root} would send the API key unencrypted. Use https://, "
                "or say allow_http=True (--allow-http) where the network between is private."
            )
        key = api_key.strip()
        if not _KEY.fullmatch(key):
            raise ConfigurationError("The API key is empty or has characters that no key has. Copy it again, whole.")
        return cls(root, key)

    def url(self, path: str) -> str:
        return self.root + path

    def follow(self, link: str) -> str:
        """The URL of a link that an answer has, below the base URL in any case: behind a proxy a server may know itself
        by another scheme, host or prefix, and the key goes nowhere else. Raises UnexpectedAnswer where it leads to no
        path of the API."""
        try:
            parts = urlsplit(link) if _LINK_CHARACTERS.fullmatch(link) else urlsplit("")
        except ValueError:
            parts = urlsplit("")
        _, is_of_api, rest = parts.path.rpartition(f"{BASE_PATH}/")
        if not is_of_api:
            raise UnexpectedAnswer(f"A link in the answer leads to no path of the API (…{BASE_PATH}/…).")
        return self.url(f"{BASE_PATH}/{rest}" + (f"?{parts.query}" if parts.query else ""))

    def authorization(self) -> str:
        return f"Bearer {self.api_key}"


def _root(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or parts.scheme not in {"http", "https"} or not _URL_CHARACTERS.fullmatch(base_url):
        raise ConfigurationError("The base URL is not an http(s) URL. It looks like https://satchel.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "The base URL has a user name, a query or a fragment. Leave only scheme, host, port and path."
        )
    path = parts.path.rstrip("/").removesuffix(BASE_PATH).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
