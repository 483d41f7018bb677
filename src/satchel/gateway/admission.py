"""Lets an API call in, by the order of contract section 3: key, rate, scope, message; then a place for a download."""

from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from satchel.contract.errors import NotFound, Unauthorized
from satchel.contract.headers import RateLimitState
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, Route
from satchel.gateway.access import KeyRecord, bearer_key, hash_key, judge_account, judge_key, require_scopes
from satchel.gateway.limits.downloads import DownloadSlot
from satchel.gateway.limits.rates import Limits, rate_limited
from satchel.gateway.store.batches import Batches
from satchel.gateway.store.calls import find_calls
from satchel.gateway.store.database import Store
from satchel.gateway.store.keys import allowed_addresses
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.source import MessageRef

NOT_FOUND = "Message or attachment not found."
# An id that nobody has may be asked for without end, and costs the source a call or two for each mailbox.
MOST_MAILBOXES_ASKED = 32
_DOWNLOADS = frozenset({DOWNLOAD_ATTACHMENT, DOWNLOAD_ARCHIVE})

# Looks in these mailboxes of an account's source for the message of an id. Raises ApiError.
Resolve = Callable[[str, Collection[str]], Awaitable[MessageRef | None]]


@dataclass(slots=True)
class Caller:
    """Who calls, filled in as far as the checks came; the log, the metrics, the audit trail and the RateLimit headers
    read it.

    The key is named as soon as it is known, be it good or not; `refusal` is the reason of a call that failed. The
    places of a download or archive are held until `end`.
    """

    address: str | None = None
    key_id: str | None = None
    account_id: str | None = None
    message_id: str | None = None
    rate: RateLimitState | None = None
    refusal: str | None = None
    places: list[DownloadSlot] = field(default_factory=list)

    def end(self) -> None:
        """Give back what the call held. To be called when its answer has ended, however it ended."""
        for place in self.places:
            place.close()


@dataclass(frozen=True, slots=True)
class AccountMessage:
    """A message together with the account that it is in: two accounts may have messages of one id."""

    account_id: str
    ref: MessageRef


class Admission:
    """Every check on a call, in order, at the cost of one question to the store.

    `accounts` are the ids of those that are served; the keys of others are unknown. `resolving` are those of them
    whose source knows messages that the index does not.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        accounts: Container[str] = (DEFAULT_ACCOUNT_ID,),
        resolving: Mapping[str, Resolve] | None = None,
    ) -> None:
        self._store = store
        self._calls = Batches(store, find_calls)
        self._limits = limits
        self._clock = clock
        self._accounts = accounts
        self._resolving = resolving or {}

    async def admit(self, authorization: str | None, route: Route, message_id: str, caller: Caller) -> AccountMessage:
        """The message that a call is about, if its key may make the call. A download holds its place from here on.

        Raises Unauthorized, RateLimited, Forbidden, NotFound or UpstreamTrouble, the first that applies.
        """
        record, message = await self._let_in(authorization, route, message_id, caller)
        if message is None:
            message = await self._resolve(record, message_id)
        caller.message_id = message.message_id
        if route is DOWNLOAD_ARCHIVE:
            caller.places.append(self._limits.archives.enter(record.key_id))
        if route in _DOWNLOADS:
            caller.places.append(self._limits.downloads.enter(record.key_id))
        return AccountMessage(record.account_id, message)

    async def admit_call(self, authorization: str | None, route: Route, caller: Caller) -> KeyRecord:
        """The key of a call that is about no message, if it may make the call.

        Raises Unauthorized, RateLimited or Forbidden, the first that applies.
        """
        record, _ = await self._let_in(authorization, route, None, caller)
        return record

    async def _let_in(
        self, authorization: str | None, route: Route, message_id: str | None, caller: Caller
    ) -> tuple[KeyRecord, MessageRef | None]:
        """The checks that every call passes, with one question to the store."""
        self._limits.failed_keys.check(caller.address)
        try:
            record, message = await self._identify(authorization, message_id, caller)
        except Unauthorized:
            await self._limits.failed_keys.count(caller.address)
            raise
        admitted, caller.rate = await self._limits.rates.admit(record.account_id, route.cost)
        if not admitted:
            raise rate_limited(caller.rate, route.cost)
        require_scopes(record, route.scopes)
        return record, message

    async def _identify(
        self, authorization: str | None, message_id: str | None, caller: Caller
    ) -> tuple[KeyRecord, MessageRef | None]:
        """The key, if it is a good one, and the message, if the key covers it. Raises Unauthorized."""
        key_hash = hash_key(bearer_key(authorization))
        record, message = await self._calls.ask((key_hash, message_id))
        if record is not None:
            caller.key_id, caller.account_id = record.key_id, record.account_id
        return judge_account(judge_key(record, key_hash, self._clock()), self._accounts), message

    async def _resolve(self, record: KeyRecord, message_id: str) -> MessageRef:
        """A message that the index does not show this key, from the key's own mailboxes at the source.

        Whether the index has it in another mailbox makes no difference: no other mailbox is asked, and the same
        questions are. A key for more than `MOST_MAILBOXES_ASKED` mailboxes finds only what the index has. Raises
        NotFound, UpstreamTrouble.
        """
        resolve = self._resolving.get(record.account_id)
        if resolve is not None:
            addresses = await self._store.call(allowed_addresses, record.key_id)
            may_ask = 0 < len(addresses) <= MOST_MAILBOXES_ASKED
            found = await resolve(message_id, addresses) if may_ask else None
            if found is not None and found.mailbox in addresses:
                return found
        raise NotFound(NOT_FOUND)
