"""The only code that knows the HTTP library: one connection pool, its measured settings, its errors translated once."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from satchel import __version__
from satchel.client.errors import ClientError, ConnectionFailed, IncompleteBody, ServerNotTrusted, UnexpectedAnswer

# 256 KiB and whatever has arrived: half the throughput is lost with pieces of 64 KiB.
_READ_BUFFER_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for the next bytes on one. There is no limit on a whole download."""

    connect_seconds: float = 15.0
    read_seconds: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()


class Answer:
    """An answer whose body has not been read yet."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.length = response.content_length if "Content-Length" in response.headers else None
        self.received_bytes = 0

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    @property
    def end_is_known(self) -> bool:
        """Whether a body that ends early can be told from a whole one."""
        chunked = "chunked" in self._response.headers.get("Transfer-Encoding", "").lower()
        return self.length is not None or chunked

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, in pieces of at most about 512 KiB. Raises IncompleteBody; never ends silently."""
        with self._translated():
            async for piece in self._response.content.iter_any():
                self.received_bytes += len(piece)
                yield piece
        if self.length is not None and self.received_bytes != self.length:
            raise self._incomplete("it ended early")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise self._incomplete("nothing more came within the read timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._incomplete(f"the connection broke ({_describe(error)})") from None

    def _incomplete(self, why: str) -> IncompleteBody:
        expected = "an unknown number of" if self.length is None else str(self.length)
        return IncompleteBody(
            f"The body is incomplete after {self.received_bytes} of {expected} bytes: {why}.",
            received_bytes=self.received_bytes,
            expected_bytes=self.length,
        )

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, refused with UnexpectedAnswer when it passes `max_bytes`."""
        parts = []
        async for piece in self.pieces():
            if self.received_bytes > max_bytes:
                raise UnexpectedAnswer(f"The answer is larger than {max_bytes} bytes.", status=self.status)
            parts.append(piece)
        return b"".join(parts)

    async def read_some(self, max_bytes: int) -> bytes:
        """The beginning of a body that only explains a failure: whatever can be had of it."""
        parts = []
        try:
            async for piece in self.pieces():
                parts.append(piece)
                if self.received_bytes > max_bytes:
                    break
        except IncompleteBody:
            pass
        return b"".join(parts)


class Transport:
    """A connection pool. Redirects are not followed, cookies not kept, bodies not decoded. Close it."""

    def __init__(self, timeouts: Timeouts, ssl_context: ssl.SSLContext | None = None) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context if ssl_context is not None else True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=timeouts.connect_seconds, sock_read=timeouts.read_seconds
            ),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            headers={"User-Agent": f"Satchel/{__version__}", "Accept-Encoding": "identity"},
        )

    @asynccontextmanager
    async def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """Send a request; its answer's body is read inside the block. Raises ClientError.

        The library's own errors carry the request's headers and so the key: they are never chained.
        """
        try:
            response = await self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translate(error) from None
        try:
            yield Answer(response)
        finally:
            # Puts the connection back when the body was read to its end, and closes it otherwise.
            response.release()

    async def aclose(self) -> None:
        await self._session.close()
        # Transports close in a later turn of the loop; without it they are reported as unclosed.
        await asyncio.sleep(0)


def _translate(error: Exception) -> ClientError:
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return ServerNotTrusted(
            f"TLS with the server failed ({_describe(error)}). "
            "Check the host name, the certificate, and that the port speaks TLS."
        )
    if isinstance(error, TimeoutError):
        return ConnectionFailed("The server did not answer within the timeout. Is it reachable from here?")
    if isinstance(error, aiohttp.ClientResponseError):
        return UnexpectedAnswer("What answered does not speak HTTP. Check the base URL's scheme and port.")
    if isinstance(error, aiohttp.InvalidURL):
        return UnexpectedAnswer("The URL cannot be requested. Check the base URL.")
    return ConnectionFailed(f"No answer from the server ({_describe(error)}). Check the base URL and the network.")


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
