"""API keys: how they are made, recognised and judged, without I/O (contract sections 2 and 3).

A key is `satchel_`, 43 base62 digits of 32 random bytes, and 6 base62 digits of their CRC-32, so that secret scanners
can tell a real key from a lookalike. Only its SHA-256 is ever stored.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime

from satchel.contract.errors import Forbidden, Reason, Unauthorized
from satchel.contract.scopes import Scope

PREFIX = "satchel_"
_RANDOM_BYTES = 32
_SECRET_DIGITS = 43
_CHECKSUM_DIGITS = 6
_SHORT_DIGITS = 6
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_SECRET_DIGITS}}})([0-9A-Za-z]{{{_CHECKSUM_DIGITS}}})")
_MAX_HEADER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the store knows of a key, as far as judging a call needs it."""

    key_id: str
    account_id: str
    key_hash: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None


def new_key(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A fresh API key with 256 random bits."""
    digits = _base62(int.from_bytes(random_bytes(_RANDOM_BYTES), "big"), _SECRET_DIGITS)
    return f"{PREFIX}{digits}{_checksum(digits)}"


def hash_key(key: str) -> str:
    """SHA-256 of a key in hex: what is stored and looked up. Keys are random, so a slow hash would gain nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def short_identifier(key: str) -> str:
    """The first characters of a key, by which people recognise it in lists and logs."""
    return key[: len(PREFIX) + _SHORT_DIGITS]


def is_well_formed(key: str) -> bool:
    """Whether the text has a key's form and its checksum is right. Says nothing about whether such a key exists."""
    match = _KEY.fullmatch(key)
    return match is not None and _checksum(match[1]) == match[2]


def bearer_key(authorization: str | None) -> str:
    """The key of an `Authorization` header (RFC 6750 section 2.1).

    Raises Unauthorized where it is missing, of another scheme, or no key of ours by its form.
    """
    if authorization is None or not authorization.strip():
        raise Unauthorized(
            "An API key is needed: send it as 'Authorization: Bearer <API key>'.", reason=Reason.KEY_MISSING
        )
    scheme, _, key = authorization[:_MAX_HEADER_CHARACTERS].strip().partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not is_well_formed(key):
        raise _invalid()
    return key


def judge_key(record: KeyRecord | None, key_hash: str, now: datetime) -> KeyRecord:
    """The record of a key that may be used now; raises Unauthorized when it is unknown, revoked or expired."""
    if record is None or not hmac.compare_digest(record.key_hash, key_hash) or record.revoked_at is not None:
        raise _invalid()
    if record.expires_at is not None and record.expires_at <= now:
        raise Unauthorized("The API key has expired. Ask for a new one.", reason=Reason.KEY_EXPIRED)
    return record


def judge_account(record: KeyRecord, accounts: Container[str]) -> KeyRecord:
    """The record of a key whose account is among those that are served; raises Unauthorized, as for an unknown key."""
    if record.account_id not in accounts:
        raise _invalid()
    return record


def require_scopes(record: KeyRecord, scopes: frozenset[Scope]) -> None:
    """Raises Forbidden unless the key has all the scopes of a route."""
    if not scopes <= record.scopes:
        raise Forbidden("Token does not have the required scope for this endpoint.", reason=Reason.MISSING_SCOPE)


def _invalid() -> Unauthorized:
    return Unauthorized("The API key is malformed, unknown or revoked.", reason=Reason.KEY_INVALID)


def _checksum(digits: str) -> str:
    return _base62(zlib.crc32(digits.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    while number:
        number, remainder = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[remainder])
    return "".join(reversed(digits)).rjust(width, _DIGITS[0])
