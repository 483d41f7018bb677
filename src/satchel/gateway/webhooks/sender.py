"""One POST to a webhook's endpoint: what is sent, where it may go, and how it ended (contract section 8)."""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import aiohttp
from aiohttp.resolver import DefaultResolver

from satchel import __version__
from satchel.contract.signing import signature_headers
from satchel.gateway.addresses import parse_networks
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.egress import (
    GuardedResolver,
    RefusedAddress,
    RefusedEndpoint,
    check_endpoint,
    is_allowed,
    literal_address,
)

# More than the 2 KB that are kept, so that a talkative receiver's answer is still understood.
_MAX_ANSWER_BYTES = 64 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WebhookSender:
    """POSTs a body to an endpoint and says how it went; raises nothing but cancellation. Close it at the end."""

    def __init__(self, settings: WebhookSettings, now: Callable[[], datetime] = _utc_now) -> None:
        """To be called on the event loop that sends. `now` is the time that attempts are signed with."""
        self._settings = settings
        self._now = now
        self._networks = parse_networks(settings.allowed_networks)
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        resolver = DefaultResolver()
        self._session = aiohttp.ClientSession(
            # A connection for each attempt: one that died while idle would cost the receiver an attempt.
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=True,
                ssl=context,
                resolver=GuardedResolver(resolver, self._networks),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds),
            auto_decompress=False,
            headers={"User-Agent": f"Satchel/{__version__}", "Accept-Encoding": "identity"},
        )

    async def post(self, url: str, secrets: Sequence[str], body: bytes, *, webhook_id: str) -> Outcome:
        """One POST; redirects are not followed, and no more than a bounded part of the answer is read.

        The first of the secrets is the Bearer, and all of them sign. `webhook_id` is the same for each attempt, so
        that a receiver knows a repetition (Standard Webhooks).
        """
        refusal = self._refusal(url)
        if refusal is not None:
            return Outcome(error=refusal, refused=True)
        headers = {"Content-Type": "application/json", **signature_headers(secrets, webhook_id, self._now(), body)}
        if secrets:
            headers["Authorization"] = f"Bearer {secrets[0]}"
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await _read_at_most(response.content, _MAX_ANSWER_BYTES)
                return Outcome(response.status, answer, response.headers.get("Retry-After"))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            return Outcome(error="refused_endpoint", refused=True)
        except aiohttp.ClientSSLError:
            return Outcome(error="tls")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, RefusedAddress):
                return Outcome(error="refused_address", refused=True)
            return Outcome(error="cannot_connect")
        except TimeoutError:
            return Outcome(error="timeout")
        except UnicodeError:
            # A host that no name server can be asked for: an empty label, or one of more than 63 characters.
            return Outcome(error="refused_endpoint", refused=True)
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(error=f"connection_{type(error).__name__}")

    async def aclose(self) -> None:
        await self._session.close()

    def _refusal(self, url: str) -> str | None:
        try:
            check_endpoint(url, allow_http=self._settings.allow_http)
        except RefusedEndpoint:
            return "refused_endpoint"
        address = literal_address(url)
        if address is not None and not is_allowed(address, self._networks):
            return "refused_address"
        return None


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
