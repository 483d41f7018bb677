"""Asks Graph a doctor's questions: each once, without retries, with the raw answer."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from satchel import __version__
from satchel.contract.headers import parse_retry_after
from satchel.mail.graph.options import CallOptions
from satchel.mail.graph.tokens import TokenSource
from satchel.mail.graph.transport import AiohttpTransport, Broken, Request, Transport
from satchel.mail.graph.wire import error_code
from satchel.mail.probe import Reply

_MAX_BODY_BYTES = 64 * 1024


class GraphProbe:
    """A `Prober` of Graph. `public_ca_file`: authorities to trust at our own URL, if not the system's."""

    def __init__(
        self,
        options: CallOptions,
        tokens: TokenSource,
        *,
        public_ca_file: Path | None = None,
        transport: Callable[[CallOptions], Transport] = AiohttpTransport,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._options = options
        self._tokens = tokens
        self._public_ca_file = public_ca_file
        self._new_transport = transport
        self._now = now
        self._graph: Transport | None = None

    async def token(self) -> str:
        return await self._tokens.token()

    async def read_mailbox(self, address: str, folder: str) -> Reply:
        token = await self._tokens.token()
        if self._graph is None:
            self._graph = self._new_transport(self._options)
        # As little as Mail.Read is needed for: it reads a message, where reading the folder alone needs less.
        path = f"users/{quote(address, safe='@')}/mailFolders/{quote(folder, safe='=')}/messages?$top=1&$select=id"
        return await self._ask(
            self._graph, "GET", f"{self._options.base_url}/v1.0/{path}", {"Authorization": f"Bearer {token}"}
        )

    async def shake_hands(self, url: str, validation_token: str) -> Reply:
        parts = urlsplit(url)
        options = CallOptions(
            base_url=f"{parts.scheme}://{parts.netloc}",
            ca_file=self._public_ca_file,
            connect_timeout_seconds=self._options.connect_timeout_seconds,
        )
        transport = self._new_transport(options)
        try:
            headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "0"}
            return await self._ask(
                transport, "POST", f"{url}?validationToken={quote(validation_token, safe='')}", headers
            )
        finally:
            await transport.aclose()

    async def aclose(self) -> None:
        if self._graph is not None:
            await self._graph.aclose()
        await self._tokens.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def _ask(self, transport: Transport, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        own = {"Accept-Encoding": "identity", "User-Agent": f"Satchel/{__version__}"}
        try:
            answer = await transport.send(Request(method=method, url=url, headers=own | dict(headers)))
        except Broken as error:
            return Reply(status=None, trouble=str(error))
        our_time = self._now()
        body = b""
        try:
            async for piece in answer.pieces():
                body += piece
                if len(body) > _MAX_BODY_BYTES:
                    break
        except Broken as error:
            return Reply(status=None, trouble=str(error))
        finally:
            answer.release()
        return Reply(
            status=answer.status,
            code=error_code(body) if answer.status >= 400 else "",
            server_time=_instant(answer.headers.get("Date")),
            our_time=our_time,
            retry_after_seconds=parse_retry_after(answer.headers.get("Retry-After"), our_time),
            throttle_share=_share(answer.headers.get("x-ms-throttle-limit-percentage")),
            content_type=answer.headers.get("Content-Type", ""),
            body=body[:_MAX_BODY_BYTES],
        )


def _instant(date: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(date) if date is not None else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _share(text: str | None) -> float | None:
    """`x-ms-throttle-limit-percentage`: from 0.8 to 1.8, and only near the limit (Graph throttling guidance)."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
