"""Access tokens: whom they are given to, what they look like, and when they are good no more."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

AUDIENCE = "https://graph.microsoft.com"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenRefused(Exception):
    """The token endpoint's answer to who may have none: an OAuth error, and Entra's number for the reason."""

    def __init__(self, status: int, error: str, number: int, description: str) -> None:
        super().__init__(f"AADSTS{number}: {description}")
        self.status = status
        self.error = error
        self.number = number


@dataclass(frozen=True, slots=True)
class App:
    """The registered application. A `federated_token` is what a workload shows instead of a secret."""

    tenant_id: str
    client_id: str
    client_secret: str
    federated_token: str


class Tokens:
    """Gives out tokens and knows which of them are good. `now` gives seconds since 1970.

    `roles` are the app's permissions by consent, which its tokens name, `exchange_roles` those that RBAC for
    Applications gives it beside them, which they do not. `certificate` is the one that it may sign in with, `given`
    how many tokens it got.
    """

    def __init__(
        self, app: App, now: Callable[[], float], roles: Sequence[str], lifetime_seconds: Callable[[], int]
    ) -> None:
        self.app = app
        self.roles = tuple(roles)
        self.exchange_roles: tuple[str, ...] = ()
        self.given = 0
        self.certificate: x509.Certificate | None = None
        self._now = now
        self._lifetime_seconds = lifetime_seconds
        self._key = secrets.token_bytes(32)
        self._good: dict[str, float] = {}

    def grant(self, tenant: str, form: dict[str, str]) -> dict[str, Any]:
        """The answer to a client-credentials request. Raises TokenRefused."""
        if tenant.lower() != self.app.tenant_id:
            raise TokenRefused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if form.get("client_id", "").lower() != self.app.client_id:
            raise TokenRefused(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        if not form.get("scope", "").endswith("/.default"):
            raise TokenRefused(400, "invalid_scope", 1002012, "The provided value for scope is not valid.")
        if "client_assertion" in form:
            self._check_assertion(form)
        elif not _same(form.get("client_secret", ""), self.app.client_secret):
            raise TokenRefused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        lifetime = self._lifetime_seconds()
        return {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self.issue(),
        }

    def issue(self) -> str:
        """A token as the endpoint would give it."""
        now = int(self._now())
        until = now + self._lifetime_seconds()
        claims = {
            "aud": AUDIENCE,
            "iss": f"https://sts.windows.net/{self.app.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": until,
            "appid": self.app.client_id,
            "tid": self.app.tenant_id,
            "roles": list(self.roles),
            "uti": secrets.token_urlsafe(12),
            "ver": "1.0",
        }
        signed = f"{_part({'typ': 'JWT', 'alg': 'HS256'})}.{_part(claims)}"
        signature = hmac.new(self._key, signed.encode("ascii"), hashlib.sha256).digest()
        token = f"{signed}.{_unpadded(signature)}"
        self._good = {each: end for each, end in self._good.items() if end > now}
        self._good[token] = until
        self.given += 1
        return token

    def is_good(self, authorization: str | None) -> bool:
        """Whether an Authorization header carries a token that was given, has not expired and is not revoked."""
        scheme, _, token = (authorization or "").partition(" ")
        until = self._good.get(token.strip())
        return scheme.lower() == "bearer" and until is not None and self._now() < until

    def revoke(self) -> None:
        """Every token that was given so far."""
        self._good.clear()

    def _check_assertion(self, form: dict[str, str]) -> None:
        assertion = form["client_assertion"]
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise TokenRefused(400, "invalid_request", 900144, "The parameter 'client_assertion_type' is not right.")
        if _same(assertion, self.app.federated_token):
            return
        if self.certificate is None or not _is_signed_by(assertion, self.certificate, self.app.client_id, self._now()):
            raise TokenRefused(401, "invalid_client", 700027, "The certificate used to sign the assertion is unknown.")


def _is_signed_by(assertion: str, certificate: x509.Certificate, client_id: str, now: float) -> bool:
    """Whether a JWT (RFC 7523) is the app's own: signed with the certificate's key, and for now."""
    try:
        signed, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            return False
        scheme = (
            padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            if header["alg"] == "PS256"
            else padding.PKCS1v15()
        )
        key.verify(_decoded(signature), signed.encode("ascii"), scheme, hashes.SHA256())
        return bool(claims["iss"] == claims["sub"] == client_id and claims["exp"] > now)
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _part(value: dict[str, Any]) -> str:
    return _unpadded(json.dumps(value, separators=(",", ":")).encode())


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
