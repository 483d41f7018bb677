"""A `SourceHost` in memory: what a mail source remembers, for tests of the source by itself."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from satchel.mail.host import ContentFact, Subscription


@dataclass
class MemoryHost:
    """As durable as the object: hand it to a second source, and that one is as after a restart."""

    cursors: dict[str, str] = field(default_factory=dict)
    facts: dict[str, ContentFact] = field(default_factory=dict)
    subscribed: dict[str, Subscription] = field(default_factory=dict)
    catch_up_requests: set[str] = field(default_factory=set)

    async def cursor(self, key: str) -> str | None:
        return self.cursors.get(key)

    async def save_cursor(self, key: str, value: str | None) -> None:
        if value is None:
            self.cursors.pop(key, None)
        else:
            self.cursors[key] = value

    async def content_facts(self, keys: Collection[str]) -> dict[str, ContentFact]:
        return {key: self.facts[key] for key in keys if key in self.facts}

    async def remember_content(self, key: str, fact: ContentFact | None) -> None:
        if fact is None:
            self.facts.pop(key, None)
        else:
            self.facts[key] = fact

    async def subscriptions(self) -> Sequence[Subscription]:
        return list(self.subscribed.values())

    async def save_subscription(self, subscription: Subscription) -> None:
        self.subscribed[subscription.key] = subscription

    async def remove_subscription(self, key: str) -> None:
        self.subscribed.pop(key, None)

    async def take_catch_up_requests(self) -> frozenset[str]:
        taken = frozenset(self.catch_up_requests)
        self.catch_up_requests.clear()
        return taken
