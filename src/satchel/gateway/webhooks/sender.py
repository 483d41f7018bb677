"""One POST to a webhook's endpoint: what is sent, where it may go, and how it ended (contract section 8)."""

import math
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver

from satchel import __version__
from satchel.contract.signing import signature_headers
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.egress import (
    GuardedResolver,
    GuardedSockets,
    RefusedAddress,
    RefusedEndpoint,
    egress_policy,
)
from satchel.gateway.webhooks.names import SystemResolver
from satchel.settings import SettingsError

# More than the 2 KB that are kept, so that a talkative receiver's answer is still understood.
_MAX_ANSWER_BYTES = 64 * 1024
# Shorter ones are words that an answer may have of itself.
_LEAST_BLANKED_CHARACTERS = 8
# What an attempt ended with where nobody answered; the first kind that fits.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorCertificateError, "certificate"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "unknown_host"),
    (aiohttp.ClientConnectorError, "cannot_connect"),
    (aiohttp.ClientResponseError, "not_http"),
    (Exception, "disconnected"),
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WebhookSender:
    """POSTs a body to an endpoint and says how it went; raises nothing but cancellation. Close it at the end."""

    def __init__(
        self,
        settings: WebhookSettings,
        now: Callable[[], datetime] = _utc_now,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """To be called on the event loop that sends. `now` is the time that attempts are signed with; names are asked
        of `resolver`, by default the system's. Raises SettingsError for a `ca_file` that cannot be used."""
        self._policy = egress_policy(settings)
        self._now = now
        tls = _tls_context(settings.ca_file)
        self._resolver = GuardedResolver(resolver or SystemResolver(settings.max_parallel), self._policy)
        self._session = aiohttp.ClientSession(
            # A connection for each attempt: one that died while idle would cost the receiver an attempt.
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=True,
                ssl=tls,
                resolver=self._resolver,
                socket_factory=GuardedSockets(self._policy),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Without a threshold, times of 5 s and more would end up to a second late.
            timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds, ceil_threshold=math.inf),
            auto_decompress=False,
            # Not by proxies of the environment: they would look names up themselves.
            trust_env=False,
            headers={"User-Agent": f"Satchel/{__version__}", "Accept-Encoding": "identity"},
        )

    async def post(self, url: str, secrets: Sequence[str], body: bytes, *, webhook_id: str) -> Outcome:
        """One POST; redirects are not followed, and no more than a bounded part of the answer is read.

        The first of the secrets is the Bearer, and all of them sign. `webhook_id` is the same for each attempt, so
        that a receiver knows a repetition (Standard Webhooks). Where the answer repeats a secret it has asterisks,
        since answers are kept and shown.
        """
        headers = {"Content-Type": "application/json", **signature_headers(secrets, webhook_id, self._now(), body)}
        if secrets:
            headers["Authorization"] = f"Bearer {secrets[0]}"
        try:
            endpoint = self._policy.check(url)
            async with self._session.post(endpoint, data=body, headers=headers, allow_redirects=False) as response:
                answer = _blanked(await _read_at_most(response.content, _MAX_ANSWER_BYTES + 1), secrets)
                return Outcome(
                    response.status,
                    answer[:_MAX_ANSWER_BYTES],
                    response.headers.get("Retry-After"),
                    is_cut=len(answer) > _MAX_ANSWER_BYTES,
                )
        except (RefusedEndpoint, aiohttp.ClientError, OSError) as error:
            return _without_answer(error)

    async def aclose(self) -> None:
        await self._session.close()
        await self._resolver.close()


def _without_answer(error: Exception) -> Outcome:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, RefusedAddress):
        return Outcome(error="refused_address", refused=True)
    if isinstance(cause, RefusedEndpoint):
        return Outcome(error="refused_endpoint", refused=True)
    return Outcome(error=next(word for kind, word in _ERRORS if isinstance(error, kind)))


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise SettingsError(
            f"webhooks.ca_file: {ca_file} holds no certificates. It is a PEM file: each certificate stands between "
            "BEGIN CERTIFICATE and END CERTIFICATE."
        ) from None
    except OSError as error:
        raise SettingsError(f"webhooks.ca_file: {ca_file} cannot be read: {error.strerror}.") from None
    return context


def _blanked(answer: bytes, secrets: Sequence[str]) -> bytes:
    for secret in secrets:
        if len(secret) >= _LEAST_BLANKED_CHARACTERS:
            # The second as some write it in JSON.
            for written in (secret, secret.replace("/", r"\/")):
                answer = answer.replace(written.encode(), b"*" * len(written))
    return answer


async def _read_at_most(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while left > 0:
        part = await stream.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
