"""Which addresses a pattern means: one address, a domain (`@example.com`) or one with all below it (`@*.example.com`).

Case makes no difference, nor does whether a domain is written in its own script or in ASCII (RFC 5891). An address that
is none, such as one with two `@`, has no domain: who it would be delivered to is anybody's guess.
"""

import re
from functools import lru_cache

import idna

MAX_ADDRESS_CHARACTERS = 320
_NO_ADDRESS = re.compile(r"[\s<>()\[\]:;,\\\"\x00-\x1f\x7f]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_BELOW = "*."


def check_pattern(pattern: str) -> None:
    """Raises ValueError for what no address can fit."""
    local, at, domain = pattern.rpartition("@")
    if not local and domain.startswith(_BELOW):
        domain = domain.removeprefix(_BELOW)
    is_address = (
        at and not set(local) & {"@", "*"} and not _NO_ADDRESS.search(pattern) and _ascii_domain(domain) is not None
    )
    if not is_address or len(pattern) > MAX_ADDRESS_CHARACTERS:
        raise ValueError(
            f"{pattern!r} is neither an address nor a domain: write ann@example.com, @example.com, "
            "or @*.example.com for a domain with all below it."
        )


def fits(pattern: str, address: str) -> bool:
    """Whether a pattern that `check_pattern` took means this address, which may be anything."""
    parts = _split(address)
    if parts is None:
        return False
    wanted_local, _, wanted_domain = pattern.rpartition("@")
    local, domain = parts
    if wanted_local:
        return local == wanted_local.casefold() and domain == _ascii_domain(wanted_domain)
    if wanted_domain.startswith(_BELOW):
        top = _ascii_domain(wanted_domain.removeprefix(_BELOW))
        return top is not None and (domain == top or domain.endswith(f".{top}"))
    return domain == _ascii_domain(wanted_domain)


def _split(address: str) -> tuple[str, str] | None:
    """Its two parts in one spelling; None for what is no address."""
    if len(address) > MAX_ADDRESS_CHARACTERS or _NO_ADDRESS.search(address):
        return None
    local, _, domain = address.partition("@")
    ascii_domain = _ascii_domain(domain)
    return None if not local or ascii_domain is None else (local.casefold(), ascii_domain)


@lru_cache(maxsize=1024)
def _ascii_domain(domain: str) -> str | None:
    """As DNS has it, in lower case; None for what is no domain."""
    name = domain.lower().removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            return None
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else None
