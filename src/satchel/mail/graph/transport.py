"""The only code of the Graph source that knows the HTTP library: one pool, its measured settings, its errors translated
once."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from satchel.mail.graph.options import CallOptions

# 256 KiB and whatever has arrived: half the throughput is lost with pieces of 64 KiB.
READ_BUFFER_BYTES = 256 * 1024


class Broken(Exception):
    """The connection, or what came over it, was no good. `may_have_acted`: the request may have reached the server."""

    def __init__(self, why: str, *, may_have_acted: bool = True) -> None:
        super().__init__(why)
        self.may_have_acted = may_have_acted


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. `url` is whole and goes out as it is; `read_buffer_bytes` is how far the answer is read ahead."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    read_buffer_bytes: int = READ_BUFFER_BYTES


class Answer(Protocol):
    """An answer whose body has not been read yet. Release it, also after a failure."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are found in any case."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives, at most twice the read buffer at a time. Raises `Broken` for one that breaks off."""
        ...

    def release(self) -> None:
        """Keeps the connection when the body was read to its end, and closes it otherwise."""
        ...


class Transport(Protocol):
    """Sends requests. Redirects are not followed, cookies not kept, bodies not decoded. Close it."""

    async def send(self, request: Request) -> Answer:
        """Raises `Broken`."""
        ...

    async def aclose(self) -> None: ...


class AiohttpTransport:
    """A `Transport` on aiohttp. It goes through the proxy that the environment names for the base URL, if any.

    The proxy is looked up once: aiohttp's own way costs two threads with each request and prefers passwords of a
    .netrc file to the token.
    """

    def __init__(self, options: CallOptions) -> None:
        trusted = ssl.create_default_context(cafile=options.ca_file) if options.ca_file is not None else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=options.connect_timeout_seconds, sock_read=options.read_timeout_seconds
            ),
            auto_decompress=False,
            proxy=_proxy(URL(options.base_url)),
        )

    async def send(self, request: Request) -> "AiohttpAnswer":
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                read_bufsize=request.read_buffer_bytes,
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # The library's errors carry the request's headers and so the token: they are never chained.
            raise _translate(error) from None
        return AiohttpAnswer(response)

    async def aclose(self) -> None:
        await self._session.close()
        # Transports close in a later turn of the loop; without it they are reported as unclosed.
        await asyncio.sleep(0)


class AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            # Not iter_any, which joins what has come in several pieces: a copy that nobody needs.
            async for piece, _ in self._response.content.iter_chunks():
                if piece:
                    yield piece
        except TimeoutError:
            raise Broken("nothing more came within the read timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke ({_describe(error)})") from None

    def release(self) -> None:
        self._response.release()


def _proxy(base_url: URL) -> URL | None:
    found = getproxies().get(base_url.scheme)
    return URL(found) if found and not proxy_bypass(base_url.host or "") else None


def _translate(error: Exception) -> Broken:
    never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)
    if isinstance(error, TimeoutError):
        return Broken("no answer within the timeout", may_have_acted=not never_sent)
    return Broken(_describe(error), may_have_acted=not never_sent)


def _describe(error: Exception) -> str:
    """What happened, in few words and without anything of the request."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refusal = error.certificate_error
        return refusal.verify_message if isinstance(refusal, ssl.SSLCertVerificationError) else type(refusal).__name__
    if isinstance(error, aiohttp.ClientConnectorSSLError) and isinstance(error.os_error, ssl.SSLError):
        return str(error.os_error.reason).lower().replace("_", " ")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        # By number: the event loop's own text repeats the address.
        return os.strerror(error.os_error.errno) if error.os_error.errno else type(error.os_error).__name__
    return type(error).__name__
