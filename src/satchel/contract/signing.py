"""Signatures of webhooks: Standard Webhooks, beside the Bearer secret (contract section 8; standardwebhooks.com).

What is signed is `<id>.<timestamp>.<body>`, with HMAC-SHA-256. While a secret is being changed there are two, and a
signature by each; one that verifies is enough.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
STANDARD_PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_VERSION = "v1"
_RANDOM_BYTES = 32
_MAX_SIGNATURES = 16


class InvalidSignature(ValueError):
    """The request is not one that the holder of the secret signed, or too old; the message says which."""


def new_secret(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A fresh secret in the form of Standard Webhooks, which is also fit to be a Bearer token."""
    return STANDARD_PREFIX + base64.b64encode(random_bytes(_RANDOM_BYTES)).decode()


def signing_key(secret: str) -> bytes:
    """The key behind a secret: what `whsec_` introduces in base64, or else the secret's own bytes.

    A verifier that insists on base64 is given a secret of one's own making in base64.
    """
    if secret.startswith(STANDARD_PREFIX):
        text = secret.removeprefix(STANDARD_PREFIX)
        try:
            # Some write it without the padding.
            if key := base64.b64decode(text + "=" * (-len(text) % 4), validate=True):
                return key
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def signature_headers(secrets_: Sequence[str], webhook_id: str, sent: datetime, body: bytes) -> dict[str, str]:
    """The headers of a request: its id, the time of this attempt, and a signature by each secret, if there is one."""
    timestamp = str(int(sent.timestamp()))
    headers = {ID_HEADER: webhook_id, TIMESTAMP_HEADER: timestamp}
    if secrets_:
        signatures = (f"{_VERSION},{_signature(secret, webhook_id, timestamp, body)}" for secret in secrets_)
        headers[SIGNATURE_HEADER] = " ".join(signatures)
    return headers


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> str:
    """The id of a request that the holder of `secret` signed around `now`: the same for each attempt of a delivery.

    `headers` by their names in any case, `body` exactly as it came. Raises InvalidSignature.
    """
    if not secret:
        raise InvalidSignature("There is no secret to verify by: anybody can sign with an empty one.")
    found = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp, signatures = (
        found.get(name, "") for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    )
    if not webhook_id or not signatures or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise InvalidSignature(f"The headers {ID_HEADER}, {TIMESTAMP_HEADER} and {SIGNATURE_HEADER} are needed.")
    expected = _signature(secret, webhook_id, timestamp, body).encode()
    given = (each.partition(",") for each in signatures.split(" ")[:_MAX_SIGNATURES])
    matches = [hmac.compare_digest(expected, _bytes(text)) for version, _, text in given if version == _VERSION]
    if not any(matches):
        raise InvalidSignature("No signature is one by this secret.")
    if abs(now.timestamp() - int(timestamp)) > tolerance_seconds:
        raise InvalidSignature("The request was signed too long ago, or a clock is wrong.")
    return webhook_id


def _signature(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((_bytes(webhook_id), timestamp.encode(), body))
    return base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode()


def _bytes(text: str) -> bytes:
    """Also of what a server could not decode, and hands on as surrogates."""
    return text.encode("utf-8", "surrogatepass")
