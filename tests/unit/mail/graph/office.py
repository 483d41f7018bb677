"""Mailboxes and subscriptions of Graph in memory, as far as arrivals go; time is the event loop's."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from satchel.mail.graph.options import ArrivalOptions, GraphOptions
from satchel.mail.graph.transport import Broken
from satchel.mail.graph.watch import GraphWatch
from satchel.testing.host import MemoryHost
from tests.unit.mail.graph.fakes import BASE_URL, Asked, FakeAnswer, FakeGraph, http_over, json, refusal

A, B = "a@example.com", "b@example.com"
URL = "https://gateway.example.com"
_START = datetime(2026, 1, 1, tzinfo=UTC)
_PAGE = 2


def now() -> datetime:
    return _START + timedelta(seconds=asyncio.get_running_loop().time())


def seconds(count: float) -> datetime:
    return _START + timedelta(seconds=count)


@dataclass
class Office:
    """`failing` holds the status that every call about a mailbox, or to "subscriptions", is answered with. With
    `refuses_posts` it is 400 for calls that create, with `refuses_lists` 403 for those that list subscriptions; with
    `loses_answers` those that create work, and nobody hears of it."""

    folders: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    forgets: bool = False
    refuses_posts: bool = False
    refuses_lists: bool = False
    loses_answers: bool = False
    longest_minutes: float = 4230
    host: MemoryHost = field(default_factory=MemoryHost)
    gaps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = FakeGraph(self.answer)

    def put(self, mailbox: str, name: str, folder: str = "inbox", **more: Any) -> None:
        """Deliver a message; `name` is its id, 20 characters of it."""
        message = {"id": name.ljust(20, "_"), "subject": name, "receivedDateTime": now().isoformat(), **more}
        self.folders.setdefault((mailbox, folder), []).append(message)

    def watch(self, *mailboxes: str, **arrivals: Any) -> GraphWatch:
        options = GraphOptions(mailboxes or (A,), arrivals=ArrivalOptions(**arrivals))
        return GraphWatch(http_over(self.graph), options, self.host, now=now, jitter=lambda: 0.5)

    def calls(self, method: str, start: str) -> list[Asked]:
        return [each for each in self.graph.asked if each.request.method == method and each.path.startswith(start)]

    def answer(self, asked: Asked) -> FakeAnswer:
        parts = asked.path.split("/")
        of = parts[1] if parts[0] == "users" else parts[0]
        if of in self.failing:
            return refusal(self.failing[of], "Failing")
        return self._delta(asked, parts) if parts[0] == "users" else self._subscription(asked, parts[1:])

    def _delta(self, asked: Asked, parts: list[str]) -> FakeAnswer:
        assert (parts[2], parts[4:]) == ("mailFolders", ["messages", "delta"])
        token = asked.params.get("$deltatoken") or asked.params.get("$skiptoken")
        if token is not None and self.forgets:
            self.forgets = False
            return refusal(410, "SyncStateNotFound")
        assert (token is None) == (asked.params.get("changeType") == "created")
        messages = self.folders.get((parts[1], parts[3]), [])
        at = int(token or 0)
        after = min(at + _PAGE, len(messages))
        path = f"{BASE_URL}/v1.0/{asked.path}"
        more = after < len(messages)
        link = {
            "@odata.nextLink" if more else "@odata.deltaLink": f"{path}?${'skip' if more else 'delta'}token={after}"
        }
        return json({"value": messages[at:after], **link})

    def _subscription(self, asked: Asked, parts: list[str]) -> FakeAnswer:
        body = msgspec.json.decode(asked.request.body) if asked.request.body else {}
        if not parts:
            if asked.request.method == "GET" and self.refuses_lists:
                return refusal(403, "Forbidden")
            if asked.request.method == "GET":
                return json({"value": list(self.subscriptions.values())})
            if self.refuses_posts:
                return refusal(400, "ValidationError")
            made = {**body, "id": f"s{len(self.subscriptions)}-{len(self.graph.asked)}", **self._expiry(body)}
            self.subscriptions[made["id"]] = made
            if self.loses_answers:
                raise Broken("the answer was lost")
            return json(made, 201)
        if parts[0] not in self.subscriptions:
            return refusal(404, "ResourceNotFound")
        if asked.request.method == "DELETE":
            del self.subscriptions[parts[0]]
            return FakeAnswer(204)
        if parts[1:] == ["reauthorize"]:
            return FakeAnswer(204)
        self.subscriptions[parts[0]] |= self._expiry(body)
        return json(self.subscriptions[parts[0]])

    def _expiry(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = datetime.fromisoformat(body["expirationDateTime"])
        return {"expirationDateTime": min(asked, now() + timedelta(minutes=self.longest_minutes)).isoformat()}
