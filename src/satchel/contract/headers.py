"""Content-Disposition, Repr-Digest, Retry-After and RateLimit: built and parsed, without I/O."""

import re
import unicodedata
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from urllib.parse import quote, unquote_to_bytes

_MAX_NAME_BYTES = 200
# All of ASCII that a quoted string holds without escapes. A percent sign with two digits behind it is decoded by some
# clients (RFC 6266 appendix D).
_PLAIN_NAME = re.compile(r"(?:[A-Za-z0-9 !#$&'()*+,\-.:;<=>?@\[\]^_`{|}~]|%(?![0-9A-Fa-f]{2}))+")
_UNSAFE_IN_FALLBACK = re.compile(r"[^A-Za-z0-9 !#$&'()+,\-.;=@\[\]^_`{}~]+")
# RFC 8187 section 3.2.1, attr-char.
_ATTR_CHARS = "!#$&+-.^_`|~"
_PARAMETER = re.compile(r';\s*([A-Za-z0-9!#$&+\-.^_`|~]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
# Items and parameters of structured fields (RFC 9651), as far as the two RateLimit headers use them.
_RATE_LIMIT_ITEM = re.compile(r'"([^"]*)"((?:\s*;\s*[a-z*][a-z0-9_\-.*]*(?:="[^"]*"|=[^\s;,"]*)?)*)')
_ITEM_PARAMETER = re.compile(r";\s*([a-z]+)=(\d+)")
# RFC 8187 asks for UTF-8; RFC 5987 before it allowed Latin-1. Other codecs of Python run code on foreign bytes.
_CHARSETS = {"": "utf-8", "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}


def safe_file_name(name: str) -> str:
    """A name that a client may save under: one path component, no control or direction marks, at most 200 bytes.

    Leading dots become underscores, so that no hidden file (`.curlrc`) can be planted; the extension survives cutting.
    """
    name = name.encode("utf-8", "replace").decode("utf-8")
    name = "".join("_" if c in "/\\" else c for c in name if unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"})
    name = name.strip()
    dots = len(name) - len(name.lstrip("."))
    name = "_" * dots + name[dots:]
    if not name.strip("_ "):
        return "attachment"
    return _shorten(name)


def _shorten(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        stem, extension = name, ""
    tail = f"{dot}{extension}" if extension else ""
    return (stem.encode()[: _MAX_NAME_BYTES - len(tail.encode())].decode("utf-8", "ignore") + tail).rstrip()


def content_disposition(name: str) -> str:
    """The `Content-Disposition` of a download (RFC 6266; contract section 7).

    A plain ASCII name stands alone as `filename`; any other comes first as RFC 8187 `filename*`, then as a safe ASCII
    `filename`, last, because published clients take what follows the last `filename=`.
    """
    name = safe_file_name(name)
    if _PLAIN_NAME.fullmatch(name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}; filename=\"{_ascii_fallback(name)}\""


def _ascii_fallback(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    plain_stem, plain_extension = _to_ascii(stem), _to_ascii(extension).strip("_ ")
    if not plain_stem.strip("_ "):
        plain_stem = "attachment"
    # Once more, because decomposing makes dots of characters that looked harmless (U+2024, U+2025).
    return safe_file_name(f"{plain_stem}.{plain_extension}" if plain_extension else plain_stem)


def _to_ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _UNSAFE_IN_FALLBACK.sub("_", kept)


def parse_content_disposition(header: str | None) -> str | None:
    """The file name of a `Content-Disposition`: `filename*` where it can be decoded, else `filename`, else None.

    The name is foreign and may be hostile; pass it through `safe_file_name` before it becomes a path.
    """
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header or ""):
        found.setdefault(match[1].lower(), match[2].strip())
    extended = _decode_extended(found.get("filename*"))
    if extended:
        return extended
    plain = found.get("filename")
    if plain and plain.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", plain[1:].removesuffix('"'))
    return plain or None


def _decode_extended(value: str | None) -> str | None:
    charset, quote_mark, rest = (value or "").partition("'")
    _, second_mark, encoded = rest.partition("'")
    codec = _CHARSETS.get(charset.strip().lower())
    if not quote_mark or not second_mark or codec is None:
        return None
    try:
        return unquote_to_bytes(encoded).decode(codec)
    except UnicodeError:
        return None


def repr_digest(sha256: str) -> str:
    """`Repr-Digest` (RFC 9530 section 3) of a file by its SHA-256 in hexadecimal."""
    return f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode('ascii')}:"


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` (RFC 9110 section 10.2.3: seconds or a date); None where it says nothing."""
    value = (header or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def retry_after(seconds: float) -> str:
    """Whole seconds, rounded up so that waiting them is enough, at least 1."""
    return str(max(1, ceil(seconds)))


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """An account's budget: `limit` calls per `window_seconds`, `remaining` now, more after `reset_seconds`."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit` (IETF draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"account";q={self.limit};w={self.window_seconds}',
            "RateLimit": f'"account";r={self.remaining};t={ceil(self.reset_seconds)}',
        }


def parse_rate_limit(policy: str | None, state: str | None) -> RateLimitState | None:
    """The first policy and its state as a server sent them; None where either is missing or malformed."""
    policies, states = _items(policy), _items(state)
    for name, quota in policies.items():
        current = states.get(name, {})
        if {"q", "w"} <= quota.keys() and {"r", "t"} <= current.keys():
            return RateLimitState(quota["q"], quota["w"], current["r"], current["t"])
    return None


def _items(header: str | None) -> dict[str, dict[str, int]]:
    return {
        match[1]: {name: int(value[:9]) for name, value in _ITEM_PARAMETER.findall(match[2])}
        for match in _RATE_LIMIT_ITEM.finditer(header or "")
    }
