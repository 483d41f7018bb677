"""Calls to the Graph simulator with a bare HTTP client, for tests of what is on the wire."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from satchel.testing.graph import GraphSimulator

MAILBOX = "invoices@example.com"
USER = f"/users/{MAILBOX}"
IMMUTABLE = 'IdType="ImmutableId"'
SELECT = "id,name,contentType,size,isInline,lastModifiedDateTime,microsoft.graph.fileAttachment/contentId"


@dataclass
class Graph:
    """A client with a token."""

    simulator: GraphSimulator
    session: aiohttp.ClientSession
    token: str

    def headers(self, *prefer: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Prefer": ", ".join((IMMUTABLE, *prefer))}

    def url(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.simulator.base_url}/v1.0{path}"

    async def call(
        self, method: str, path: str, body: object = None, *prefer: str, immutable: bool = True
    ) -> tuple[int, Any]:
        """Status and JSON (None for no body)."""
        headers = self.headers(*prefer)
        if not immutable:
            headers["Prefer"] = ", ".join(prefer)
        async with self.session.request(method, self.url(path), json=body, headers=headers) as answer:
            return answer.status, await answer.json() if await answer.read() else None

    async def get(self, path: str, *prefer: str, immutable: bool = True) -> Any:
        """The JSON of a call that succeeds."""
        status, body = await self.call("GET", path, None, *prefer, immutable=immutable)
        assert status == 200, body
        return body

    async def error(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and code of a call that fails."""
        status, answer = await self.call(method, path, body)
        assert status >= 400, answer
        return status, answer["error"]["code"]

    async def attachments(self, message_id: str) -> list[dict[str, Any]]:
        """All of them, over all pages."""
        path, found = f"{USER}/messages/{message_id}/attachments?$select={SELECT}", []
        while path:
            page = await self.get(path)
            found += page["value"]
            path = page.get("@odata.nextLink", "")
        return found

    @asynccontextmanager
    async def content(self, message_id: str, attachment_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self.url(f"{USER}/messages/{message_id}/attachments/{quote(attachment_id)}/$value")
        async with self.session.get(url, headers=self.headers()) as answer:
            yield answer

    async def download(self, message_id: str, attachment_id: str) -> bytes:
        async with self.content(message_id, attachment_id) as answer:
            assert answer.status == 200
            return await answer.read()


@asynccontextmanager
async def graph(simulator: GraphSimulator) -> AsyncIterator[Graph]:
    """A client of a simulator without TLS, with a token from its endpoint."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        form = {
            "grant_type": "client_credentials",
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        async with session.post(f"{simulator.base_url}/{simulator.tenant_id}/oauth2/v2.0/token", data=form) as answer:
            assert answer.status == 200
            token = (await answer.json())["access_token"]
        yield Graph(simulator, session, token)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
