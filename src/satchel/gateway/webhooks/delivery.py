"""One delivery attempt: written down, sent, judged, written down again, and queued anew where it is to be repeated."""

import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import msgspec
import structlog
from aiohttp.resolver import DefaultResolver

from satchel import __version__
from satchel.durable.engine import DurableEngine
from satchel.gateway.addresses import parse_networks
from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import WebhookSettings
from satchel.gateway.store.database import Store
from satchel.gateway.store.deliveries import BegunAttempt, PendingDelivery, begin_attempt, finish_attempt
from satchel.gateway.webhooks.decision import DeliveryStatus, Outcome, decide
from satchel.gateway.webhooks.egress import (
    GuardedResolver,
    RefusedAddress,
    RefusedEndpoint,
    check_endpoint,
    is_allowed,
    literal_address,
)
from satchel.gateway.webhooks.payload import message_event

WORKFLOW = "webhook-delivery"
# More than the 2 KB that are kept, so that a talkative receiver's answer is still understood.
_MAX_ANSWER_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class WebhookSender:
    """POSTs a body to an endpoint and says how it went; raises nothing but cancellation. Close it at the end."""

    def __init__(self, settings: WebhookSettings) -> None:
        """To be called on the event loop that sends."""
        self._settings = settings
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

    async def post(self, url: str, secret: str | None, body: bytes, *, webhook_id: str) -> Outcome:
        """One POST; redirects are not followed, and no more than a bounded part of the answer is read.

        `webhook_id` is the same for each attempt, so that a receiver knows a repetition (Standard Webhooks).
        """
        refusal = self._refusal(url)
        if refusal is not None:
            return Outcome(error=refusal, refused=True)
        headers = {"Content-Type": "application/json", "webhook-id": webhook_id}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
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


class Deliveries:
    """Runs delivery attempts as durable work: each attempt is one workflow, so that a long pause holds no place."""

    def __init__(
        self,
        store: Store,
        engine: DurableEngine,
        sender: WebhookSender,
        settings: WebhookSettings,
        jitter: Callable[[], float] = random.random,
        on_attempt: Callable[[DeliveryStatus], None] | None = None,
        master_key: MasterKey | None = None,
    ) -> None:
        """`on_attempt` is told what a delivery has become by each attempt."""
        self._master_key = master_key
        self._store = store
        self._engine = engine
        self._sender = sender
        self._settings = settings
        self._jitter = jitter
        self._on_attempt = on_attempt
        engine.register(WORKFLOW, self.attempt, concurrency=settings.max_parallel)

    async def enqueue(self, delivery: PendingDelivery) -> None:
        """Ask for a delivery's next attempt at its time. Asking twice for one attempt is asking once."""
        delay_seconds = (delivery.due_at - datetime.now(UTC)).total_seconds()
        await self._engine.enqueue(
            WORKFLOW,
            f"{delivery.delivery_id}#{delivery.attempt}",
            delivery.delivery_id,
            delivery.attempt,
            delay_seconds=delay_seconds if delay_seconds > 0 else None,
        )

    async def attempt(self, delivery_id: str, attempt: int) -> None:
        """One attempt of one delivery; harmless when it was made already."""
        begun = await self._store.call(begin_attempt, delivery_id, attempt)
        if begun is None:
            return
        outcome = await self._sender.post(begun.url, self._secret(begun), _body(begun), webhook_id=delivery_id)
        decision = decide(
            outcome,
            attempt,
            pauses=self._settings.retry_seconds,
            jitter=self._jitter(),
            now=datetime.now(UTC),
        )
        due_at = await self._store.call(finish_attempt, begun, outcome, decision)
        if self._on_attempt is not None:
            self._on_attempt(decision.status)
        log.info(
            "delivery_attempted",
            delivery_id=delivery_id,
            attempt=attempt,
            status=decision.status.value,
            status_code=outcome.status,
            error=decision.error,
        )
        if due_at is not None:
            await self.enqueue(PendingDelivery(delivery_id, attempt + 1, due_at))

    def _secret(self, begun: BegunAttempt) -> str | None:
        if begun.sealed_secret is None or self._master_key is None:
            return None
        return self._master_key.unseal(begun.sealed_secret, begun.webhook_id)


def _body(begun: BegunAttempt) -> bytes:
    return msgspec.json.encode(message_event(begun.message, begun.mailbox))


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
