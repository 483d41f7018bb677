"""Lets an API call in, by the order of contract section 3: key, rate, scope, message."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime

from satchel.contract.errors import NotFound
from satchel.contract.headers import RateLimitState
from satchel.contract.routes import Route
from satchel.gateway.access import bearer_key, hash_key, judge_account, judge_key, require_scopes
from satchel.gateway.limits import AccountRate, rate_limited
from satchel.gateway.store.calls import find_call
from satchel.gateway.store.database import Store
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.source import MessageRef

NOT_FOUND = "Message or attachment not found."


@dataclass(slots=True)
class Caller:
    """Who calls, filled in as far as the checks came; the log, the metrics, the audit trail and the RateLimit headers
    read it.

    The key is named as soon as it is known, be it good or not; `refusal` is the reason of a call that failed.
    """

    key_id: str | None = None
    account_id: str | None = None
    rate: RateLimitState | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class AccountMessage:
    """A message together with the account that it is in: two accounts may have messages of one id."""

    account_id: str
    ref: MessageRef


class Admission:
    """Every check on a call, in order, at the cost of one question to the store.

    `accounts` are the ids of those that are served; the keys of others are unknown.
    """

    def __init__(
        self,
        store: Store,
        rate: AccountRate,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        accounts: Container[str] = (DEFAULT_ACCOUNT_ID,),
    ) -> None:
        self._store = store
        self._rate = rate
        self._clock = clock
        self._accounts = accounts

    async def admit(self, authorization: str | None, route: Route, message_id: str, caller: Caller) -> AccountMessage:
        """The message that a call is about, if its key may make the call.

        Raises Unauthorized, RateLimited, Forbidden or NotFound, the first that applies.
        """
        key_hash = hash_key(bearer_key(authorization))
        record, message = await self._store.call(find_call, key_hash, message_id)
        if record is not None:
            caller.key_id, caller.account_id = record.key_id, record.account_id
        record = judge_account(judge_key(record, key_hash, self._clock()), self._accounts)
        admitted, caller.rate = await self._rate.admit(record.account_id, route.cost)
        if not admitted:
            raise rate_limited(caller.rate)
        require_scopes(record, route.scopes)
        if message is None:
            raise NotFound(NOT_FOUND)
        return AccountMessage(record.account_id, message)
