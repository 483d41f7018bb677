"""A mail server's bodies as a double: each request gets the next script, and no socket is involved."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from satchel.contract.attachments import Attachment, AttachmentType
from satchel.mail.graph.body import EndNotShown
from satchel.mail.graph.content import GraphContent
from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.opening import BodyOpener
from satchel.mail.graph.options import ContentOptions
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.host import ContentFact
from satchel.mail.source import SourceUnavailable
from satchel.testing.host import MemoryHost

PATH = "users/a@e.test/messages/m/attachments/x/$value"
MAILBOX = "a@e.test"


@dataclass(frozen=True, slots=True)
class Script:
    """How the server answers one request.

    `data` is the file as it has it. `gives` bytes come (None: all), and then the body `ends`: as a whole one does, with
    the connection and without a sign, or broken. With `ranges` a range is answered as one, with `tells_length` there is
    a Content-Length. `refuses` is a status instead of a body, None one that cannot be reached at all.
    """

    data: bytes
    gives: int | None = None
    ends: str = "clean"
    ranges: bool = False
    tells_length: bool = False
    refuses: int | None = 200
    content_range: str | None = None


class ScriptedBody:
    def __init__(self, script: Script, start: int, piece_bytes: int, server: "ScriptedServer") -> None:
        self.status = 206 if script.ranges else 200
        self._data = script.data[start:] if script.ranges else script.data
        self._script = script
        self._piece_bytes = piece_bytes
        self._server = server
        self.length = len(self._data) if script.tells_length else None
        size = len(script.data)
        said = script.content_range or f"bytes {start}-{size - 1}/{size}"
        self.headers: Mapping[str, str] = {"Content-Range": said} if script.ranges else {}
        server.open_bodies += 1

    async def chunks(self) -> AsyncIterator[bytes]:
        given = self._data[: self._script.gives]
        for at in range(0, len(given), self._piece_bytes):
            yield given[at : at + self._piece_bytes]
        if self._script.ends == "broken" or (self.length is not None and len(given) != self.length):
            raise SourceUnavailable("broken", upstream_status=502)
        if self._script.ends == "not shown" and self.length is None:
            raise EndNotShown("not shown")

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.open_bodies -= 1
            self._server = None  # type: ignore[assignment]


@dataclass
class ScriptedServer:
    """Answers with one script after the other, and with the last for ever."""

    scripts: list[Script]
    piece_bytes: int = 7
    asked: list[str | None] = field(default_factory=list)
    open_bodies: int = 0

    async def stream(self, path: str, *, mailbox: str | None, headers: Mapping[str, str] | None = None) -> ScriptedBody:
        assert (path, mailbox) == (PATH, MAILBOX)
        asked = (headers or {}).get("Range")
        self.asked.append(asked)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if script.refuses is None:
            raise SourceUnavailable("unreachable")
        if script.refuses >= 300:
            raise GraphRefusal(script.refuses, "code")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked is not None else 0
        if script.ranges and asked is not None and start >= len(script.data):
            raise GraphRefusal(416, "")
        if asked is None and script.ranges:
            script = Script(script.data, script.gives, script.ends, tells_length=script.tells_length)
        return ScriptedBody(script, start, self.piece_bytes, self)


@dataclass
class Waits:
    """Time that passes by being asked for."""

    seconds: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def listed(data: bytes, store_bytes: int | None = None) -> Attachment:
    """As Graph lists it: with the size in its store."""
    return Attachment(
        id="x",
        name="x.bin",
        content_type="application/octet-stream",
        size=len(data) + 237 if store_bytes is None else store_bytes,
        attachment_type=AttachmentType.FILE,
        last_modified=datetime(2026, 1, 2, tzinfo=UTC),
    )


@dataclass
class Setting:
    """A server with what is around a content: `host` remembers, `waits` are the pauses between attempts."""

    server: ScriptedServer
    attachment: Attachment
    options: ContentOptions = field(default_factory=ContentOptions)
    host: MemoryHost = field(default_factory=MemoryHost)
    waits: Waits = field(default_factory=Waits)
    fact: ContentFact | None = None

    def __post_init__(self) -> None:
        self.streams = ContentStreams(sleep=self.waits.sleep, jitter=lambda: 0.5)

    def content(self) -> GraphContent:
        opener = BodyOpener(self.server, PATH, MAILBOX)
        return GraphContent(opener, self.attachment, self.host, self.fact, self.options, self.streams, lambda: None)


async def read(content: GraphContent, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in content.chunks(start, stop)])
