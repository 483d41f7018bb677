"""Secrets at rest: sealed with a master key that the administrator keeps elsewhere (AES-256-GCM). No I/O."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from satchel.contract.signing import STANDARD_PREFIX, signing_key

MASTER_KEY = "SATCHEL_MASTER_KEY"
_FORM = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK_CHARACTERS = 8


class SealingError(ValueError):
    """A master key that cannot be used, or something sealed that this one does not open; the message says which."""


class MasterKey:
    """One key or more, the first of which seals; all of them open, so that a key can be changed without a stop."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` are 32 bytes each, one at least."""
        self._ciphers = {_mark(key): AESGCM(key) for key in keys}
        self._sealing = _mark(keys[0])

    @classmethod
    def parse(cls, text: str) -> "MasterKey":
        """From base64, several keys with commas between them. Raises SealingError, which does not show the text."""
        return cls([_parse_one(each) for each in text.split(",")])

    def seal(self, secret: str, context: str) -> str:
        """The secret as it may lie in a database. It opens with the same `context` only: what it belongs to."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._sealing].encrypt(nonce, secret.encode(), context.encode())
        return f"{_FORM}:{self._sealing}:{base64.b64encode(sealed).decode()}"

    def unseal(self, sealed: str, context: str) -> str:
        """The secret again. Raises SealingError."""
        form, mark, text = [*sealed.split(":", 2), "", ""][:3]
        cipher = self._ciphers.get(mark)
        if form != _FORM or cipher is None:
            raise SealingError(
                f"The secret was sealed with another master key (marked {mark or 'unknown'!r}): "
                f"put that one behind the new one in {MASTER_KEY}, with a comma between them."
            )
        try:
            data = base64.b64decode(text, validate=True)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise SealingError("The sealed secret is damaged or belongs to something else. Set it anew.") from None

    def seals(self, sealed: str) -> bool:
        """Whether the first of the keys has sealed this, so that the others are not needed for it."""
        return sealed.startswith(f"{_FORM}:{self._sealing}:")


def new_master_key() -> str:
    """A fresh key, in the form that `MasterKey.parse` takes."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def seal_secret(secret: str, webhook_id: str, master_key: MasterKey | None) -> str:
    """A webhook's secret as it is stored. Raises ValueError for one that cannot be used, or where no key seals it."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("The secret goes into a header: use printable ASCII characters without spaces, 16 or more.")
    if secret.startswith(STANDARD_PREFIX) and signing_key(secret) == secret.encode():
        raise ValueError(
            f"A secret that begins with {STANDARD_PREFIX} goes on in base64, or receivers cannot verify by it. "
            "Leave one out and it is made."
        )
    if master_key is None:
        raise ValueError(
            f"Secrets are stored sealed, which needs a master key: set {MASTER_KEY}, or {MASTER_KEY}_FILE to a file "
            "with it, here and for the gateway. Make one: satchel gateway master-key new"
        )
    return master_key.seal(secret, webhook_id)


def _parse_one(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise SealingError(
            f"{MASTER_KEY} must be 32 bytes in base64. Make one: satchel gateway master-key new, and keep it safe."
        )
    return key


def _mark(key: bytes) -> str:
    """By which a sealed secret tells its key: too short to say anything about it."""
    return hashlib.sha256(b"satchel master key " + key).hexdigest()[:_MARK_CHARACTERS]
