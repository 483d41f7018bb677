"""The Graph client's transport on pyreqwest (Rust's reqwest), to be measured beside the one on aiohttp."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, RequestError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from satchel.mail.graph.options import CallOptions
from satchel.mail.graph.transport import READ_BUFFER_BYTES, Broken, Request


class PyreqwestTransport:
    """A `Transport`. Connections whose body was not read to its end are the library's to close."""

    def __init__(self, options: CallOptions) -> None:
        builder = ClientBuilder().http1_only().follow_redirects(False).default_cookie_store(False).no_proxy()
        for coding in ("gzip", "brotli", "zstd", "deflate"):
            builder = getattr(builder, coding)(False)
        builder = builder.connect_timeout(timedelta(seconds=options.connect_timeout_seconds))
        builder = builder.read_timeout(timedelta(seconds=options.read_timeout_seconds))
        if options.ca_file is not None:
            builder = builder.add_root_certificate_pem(options.ca_file.read_bytes())
        self._client: Client = builder.build()

    async def send(self, request: Request) -> "PyreqwestAnswer":
        asked = self._client.request(request.method, request.url).headers(dict(request.headers))
        if request.body is not None:
            asked = asked.body_bytes(request.body)
        streamed = asked.streamed_read_buffer_limit(request.read_buffer_bytes).build_streamed()
        try:
            response = await streamed.__aenter__()
        except RequestError as error:
            raise Broken(type(error).__name__, may_have_acted=not isinstance(error, ConnectError)) from None
        return PyreqwestAnswer(streamed, response)

    async def aclose(self) -> None:
        await self._client.close()


class PyreqwestAnswer:
    def __init__(self, request: StreamRequest, response: Response) -> None:
        # Held, because the answer goes with it.
        self._request = request
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        reader = self._response.body_reader
        try:
            while (piece := await reader.read(READ_BUFFER_BYTES)) is not None and len(piece):
                yield bytes(piece)
        except RequestError as error:
            raise Broken(type(error).__name__) from None

    def release(self) -> None:
        del self._response, self._request
