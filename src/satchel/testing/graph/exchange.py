"""One request and what its answer needs: who asks, for what, and how it wants to be answered."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from satchel.testing.graph.calls import Call
from satchel.testing.graph.errors import bad_query, item_not_found
from satchel.testing.graph.mailboxes import Mailbox
from satchel.testing.graph.stored import StoredMessage
from satchel.testing.graph.world import World

_PAGE_SIZE = re.compile(r"odata\.maxpagesize\s*=\s*(\d{1,6})", re.IGNORECASE)


@dataclass(slots=True)
class Exchange:
    """A call under way. `params` are what its path names; `prefer` is the Prefer header without blanks, lower case."""

    world: World
    request: web.Request
    call: Call
    params: dict[str, str]

    @property
    def prefer(self) -> str:
        return re.sub(r"\s", "", ",".join(self.request.headers.getall("Prefer", []))).lower()

    @property
    def immutable(self) -> bool:
        """Whether ids are to be immutable ones."""
        return 'idtype="immutableid"' in self.prefer

    @property
    def as_text(self) -> bool:
        """Whether bodies are to be plain text."""
        return 'outlook.body-content-type="text"' in self.prefer

    def page_size(self, default: int) -> int:
        """What `Prefer: odata.maxpagesize` asks for."""
        match = _PAGE_SIZE.search(self.prefer)
        return default if match is None else max(1, min(int(match[1]), 1000))

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox of the path. Raises GraphError where there is none or it is refused."""
        return self.world.mailboxes.readable(self.params["mailbox"])

    async def message(self) -> StoredMessage:
        """The message of the path, read in. Raises GraphError."""
        found = self.mailbox.message(self.params["message"])
        if self.world.now() < found.arrived_at + self.world.faults.unknown_for_seconds:
            self.call.fault = "unknown_for_seconds"
            raise item_not_found()
        await self.read_in(found)
        return found

    async def read_in(self, *messages: StoredMessage) -> None:
        """See to it that these have been read from disk."""
        for each in messages:
            if not each.is_read_in:
                await self.world.in_thread(each.read_in)

    def option(self, name: str) -> str | None:
        """A query option, with its dollar sign or without (Graph takes both)."""
        query = self.request.query
        return query.get(f"${name}", query.get(name))

    async def parameters(self) -> dict[str, Any]:
        """The parameters of an action, whose names Graph takes in any case: here in lower case. Raises GraphError."""
        return {name.lower(): value for name, value in (await self.body()).items()}

    async def body(self) -> dict[str, Any]:
        """The JSON object of the request. Raises GraphError."""
        try:
            read = msgspec.json.decode(await self.request.read())
        except (msgspec.DecodeError, UnicodeDecodeError):
            read = None
        if not isinstance(read, dict):
            raise bad_query("Unable to read JSON request payload.")
        return read

    def context(self, of: str) -> str:
        """The `@odata.context` annotation."""
        return f"{self.world.base_url}/v1.0/$metadata#{of}"

    def json(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        """An answer in Graph's JSON."""
        applied = {"Preference-Applied": 'IdType="ImmutableId"'} if self.immutable else {}
        return web.Response(
            status=status,
            body=msgspec.json.encode(body),
            headers={"Content-Type": JSON_TYPE, **applied, **(headers or {})},
        )


JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
