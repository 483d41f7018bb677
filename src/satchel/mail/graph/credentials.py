"""Access tokens from Microsoft Entra ID by azure-identity, which is imported when the first token is asked for: it
takes half a second and 37 MiB, and a gateway without Graph needs neither."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from satchel.mail.source import SourceUnavailable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

# Of a token's life, when it is renewed ahead, and when it is not given out any more.
_RENEW_AHEAD_SECONDS = 600.0
_RENEW_AHEAD_SHARE = 0.2
_TOO_LATE_SECONDS = 30.0
_TOO_LATE_SHARE = 0.05
# So long a refusal stands before it is asked again: Entra ID counts failures against the application.
_REFUSED_SECONDS = 10.0
# So long an authority may take, all attempts together: azure-identity itself waits for five minutes with each.
_LONGEST_SECONDS = 30.0
# Own attempts of azure-identity; the callers have patience of their own.
_RETRIES = 2
_ERROR_CODE = re.compile(r"AADSTS\d{4,12}")

T = TypeVar("T")

CredentialKind = Literal["secret", "certificate", "managed_identity", "workload_identity"]


@dataclass(frozen=True, slots=True)
class CredentialOptions:
    """Who the application is and how it proves that. What a kind does not need may be None."""

    kind: CredentialKind
    authority: str
    base_url: str
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    certificate_password: str | None = field(default=None, repr=False)
    federated_token_file: Path | None = None
    ca_file: Path | None = None


class TokenRefused(SourceUnavailable):
    """No token, and not because nobody could be reached: the credential or the tenant is wrong.

    `code` is Entra ID's own, such as AADSTS7000215 for a wrong secret; empty where it gave none.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, upstream_status=401)
        self.code = code


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and its life, in Unix seconds."""

    token: str
    issued_at: float
    expires_at: float

    def is_good(self, now: float) -> bool:
        return now < self.expires_at - min(_TOO_LATE_SECONDS, _TOO_LATE_SHARE * self._life)

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return now >= self.expires_at - min(_RENEW_AHEAD_SECONDS, _RENEW_AHEAD_SHARE * self._life)

    @property
    def _life(self) -> float:
        return self.expires_at - self.issued_at


class CachedTokens:
    """A `TokenSource` over anything that issues tokens: one at a time is asked for, and shared until it nears its end.

    `issue` raises `SourceUnavailable`. A token is renewed in the background while the one before is still good.
    """

    def __init__(self, issue: Callable[[], Awaitable[Issued]], *, clock: Callable[[], float] = time.time) -> None:
        self._issue = issue
        self._clock = clock
        self._current: Issued | None = None
        self._renewing: asyncio.Task[Issued] | None = None
        self._refused: TokenRefused | None = None
        self._refused_until = 0.0

    async def token(self) -> str:
        now = self._clock()
        current = self._current
        if current is None or not current.is_good(now):
            return await self._new()
        if current.is_due(now) and now >= self._refused_until:
            self._renewal()
        return current.token

    async def renewed(self, stale: str) -> str:
        current = self._current
        if current is not None and current.token != stale:
            return current.token
        return await self._new()

    async def aclose(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    async def _new(self) -> str:
        if self._refused is not None and self._clock() < self._refused_until:
            raise TokenRefused(str(self._refused), self._refused.code)
        # One who gives up does not take it from the others.
        return (await asyncio.shield(self._renewal())).token

    def _renewal(self) -> asyncio.Task[Issued]:
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
            self._renewing.add_done_callback(self._renewed)
        return self._renewing

    async def _renew(self) -> Issued:
        try:
            self._current = await self._issue()
        except TokenRefused as refused:
            self._refused, self._refused_until = refused, self._clock() + _REFUSED_SECONDS
            raise
        self._refused = None
        return self._current

    def _renewed(self, task: asyncio.Task[Issued]) -> None:
        self._renewing = None
        if not task.cancelled():
            # In the background nobody waits for it: the token at hand is still good, and it is tried again.
            task.exception()


def azure_tokens(options: CredentialOptions) -> CachedTokens:
    """The tokens of an application of Microsoft Entra ID, for Graph at the options' base URL."""

    async def issue() -> Issued:
        # A new credential each time, since each remembers its token, also one that Graph has refused.
        begun = time.time()
        try:
            credential = await asyncio.to_thread(_credential, options)
        except (ValueError, OSError) as error:
            raise TokenRefused(f"The credential cannot be read ({type(error).__name__}).", "") from None
        async with credential:
            return await _issue(credential, f"{options.base_url}/.default", begun)

    return CachedTokens(issue)


async def _issue(credential: "AsyncTokenCredential", scope: str, begun: float) -> Issued:
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            found = await credential.get_token(scope)
    except ClientAuthenticationError as error:
        raise _refusal(error) from None
    except (AzureError, OSError, ValueError) as error:
        # Their texts quote requests: only the kind of the error is told.
        raise SourceUnavailable(f"No token could be had from the authority ({type(error).__name__}).") from None
    return Issued(found.token, begun, float(found.expires_on))


def _refusal(error: Exception) -> SourceUnavailable:
    code = _ERROR_CODE.search(str(error))
    status = getattr(getattr(error, "response", None), "status_code", None)
    if code is None and isinstance(status, int) and (status == 429 or status >= 500):
        return SourceUnavailable(f"The authority gives no token just now ({status}).")
    told = code[0] if code is not None else type(error).__name__
    return TokenRefused(f"The authority refused a token ({told}).", code[0] if code is not None else "")


def _credential(options: CredentialOptions) -> "AsyncTokenCredential":
    """Raises ValueError and OSError for what is missing or cannot be read."""
    from azure.identity import aio

    common: dict[str, Any] = {
        "authority": options.authority,
        # It would ask Microsoft about any authority that is none of Microsoft's own.
        "disable_instance_discovery": True,
        "retry_total": _RETRIES,
    }
    if options.ca_file is not None:
        common["connection_verify"] = str(options.ca_file)
    if options.kind == "managed_identity":
        return aio.ManagedIdentityCredential(client_id=options.client_id, retry_total=_RETRIES)
    tenant_id, client_id = _needed(options.tenant_id, "tenant_id"), _needed(options.client_id, "client_id")
    if options.kind == "secret":
        return aio.ClientSecretCredential(
            tenant_id, client_id, _needed(options.client_secret, "client_secret"), **common
        )
    if options.kind == "certificate":
        certificate = _needed(options.certificate_file, "certificate_file").read_bytes()
        return aio.CertificateCredential(
            tenant_id, client_id, certificate_data=certificate, password=options.certificate_password, **common
        )
    token_file = _needed(options.federated_token_file, "federated_token_file")
    return aio.WorkloadIdentityCredential(
        tenant_id=tenant_id, client_id=client_id, token_file_path=str(token_file), **common
    )


def _needed(value: T | None, name: str) -> T:
    if value is None:
        raise ValueError(f"the credential needs {name}")
    return value
