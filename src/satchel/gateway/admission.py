"""Lets an API call in, by the order of contract section 3: key, rate, scope, message."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from satchel.contract.errors import NotFound
from satchel.contract.headers import RateLimitState
from satchel.contract.routes import Route
from satchel.gateway.access import bearer_key, hash_key, judge_key, require_scopes
from satchel.gateway.limits import AccountRate, rate_limited
from satchel.gateway.store.calls import find_call
from satchel.gateway.store.database import Store
from satchel.mail.source import MessageRef

NOT_FOUND = "Message or attachment not found."


@dataclass(slots=True)
class Caller:
    """Who calls, filled in as far as the checks came; the log, the metrics and the RateLimit headers read it."""

    key_id: str | None = None
    account_id: str | None = None
    rate: RateLimitState | None = None


class Admission:
    """Every check on a call, in order, at the cost of one question to the store."""

    def __init__(self, store: Store, rate: AccountRate, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._store = store
        self._rate = rate
        self._clock = clock

    async def admit(self, authorization: str | None, route: Route, message_id: str, caller: Caller) -> MessageRef:
        """The message that a call is about, if its key may make the call.

        Raises Unauthorized, RateLimited, Forbidden or NotFound, the first that applies.
        """
        key_hash = hash_key(bearer_key(authorization))
        record, message = await self._store.call(find_call, key_hash, message_id)
        record = judge_key(record, key_hash, self._clock())
        caller.key_id, caller.account_id = record.key_id, record.account_id
        admitted, caller.rate = await self._rate.admit(record.account_id, route.cost)
        if not admitted:
            raise rate_limited(caller.rate)
        require_scopes(record, route.scopes)
        if message is None:
            raise NotFound(NOT_FOUND)
        return message
