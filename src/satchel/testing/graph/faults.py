"""What the simulator can be told to do wrong: each fault by its own name, off until it is switched on."""

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

import msgspec

# What a fault may be told to keep to: the kinds of calls, and what is sent to subscribers.
KINDS = frozenset(
    {"attachment", "attachments", "content", "delete", "delta", "folder", "folders", "message", "messages", "mime"}
    | {"move", "notification", "reauthorize", "renew", "subscribe", "subscription", "subscriptions", "translate"}
    | {"unsubscribe", "user"}
)
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class When:
    """How often a fault happens, and to which calls.

    `chance` is between 0 and 1, for each call that it may happen to. `times` bounds how often it happens in all (None:
    without end), so `When(1.0, times=2)` are the next two. `routes` are kinds of calls by the names that `Call.kind`
    has (none: all kinds), `mailbox` is an address in lower case (None: all mailboxes).
    """

    chance: float = 0.0
    times: int | None = None
    routes: tuple[str, ...] = ()
    mailbox: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.chance <= 1:
            raise ValueError(f"{self.chance} is no chance: it must be between 0 and 1")
        unknown = set(self.routes) - KINDS
        if unknown:
            raise ValueError(f"there are no calls {', '.join(sorted(unknown))}; there are {', '.join(sorted(KINDS))}")

    def concerns(self, kind: str, mailbox: str | None) -> bool:
        """Whether a call of this kind to this mailbox may meet the fault at all."""
        return (not self.routes or kind in self.routes) and self.mailbox in {None, mailbox}


NEVER = When()
ALWAYS = When(1.0)


def next_calls(times: int, *routes: str, mailbox: str | None = None) -> When:
    """The next so many calls, of these kinds or of all."""
    return When(1.0, times, routes, mailbox)


def chance(probability: float, *routes: str, mailbox: str | None = None) -> When:
    """With this probability each call, of these kinds or of all, without end."""
    return When(probability, None, routes, mailbox)


@dataclass(slots=True)
class Faults:
    """All that can go wrong, as values that may be changed at any moment; nothing does until it is told to.

    Fields that are a `When` say how often; the others say how. Times are in seconds, sizes in bytes.

    Refusals, before anything else is done:
    `throttle` answers 429 with `Retry-After: retry_after_seconds`, `throttle_silently` 429 without it, `unavailable`
    503, `gateway_timeout` 504, `refuse_token` 401, `hang_up` closes the connection, `gateway_page` answers 502 with a
    page of HTML. `revoke_tokens` answers 401 to this call and to all later ones with the tokens given so far.
    `latency_seconds` delays every call. `token_lifetime_seconds` is that of tokens given from now on.
    `clock_skew_seconds` is how far the `Date` of answers is ahead.

    Of bodies (`/$value`):
    `reset` breaks the connection after `reset_after_bytes`, `stall` sends nothing more after `stall_after_bytes`,
    `short` ends in good order after `short_after_bytes`; None is anywhere in the body. `change_on_reopen`: whoever
    opens the attachment again gets other bytes of the same length. `framing`: with a Content-Length, chunked, or until
    the connection closes; a `short` body never has a length. Bodies of more than `timeout_over_bytes` get 504 after
    `timeout_after_seconds`. `body_latency_seconds` delays the first byte.

    Of what is listed:
    `inflated_size_factor` times the size, on top of what Exchange adds anyway. `wrong_inline_flag` turns `isInline`
    around. `attachments_per_page`. `change_attachment_ids`: a list gives new ids to the attachments of a message, and
    the old ones are gone. `unknown_for_seconds`: a message that has just arrived is listed and announced, but answers
    404. `placeholder_seconds`: so long a placeholder stands where files will be, under other ids.
    `forget_delta` answers 410 to a delta token.

    Of notifications:
    `lose_notification`, `duplicate_notification`, `delay_notification` (by up to `notification_delay_seconds`, so that
    they come out of order), `missed_after_loss` (a lifecycle event tells of the loss), `remove_subscription`
    (instead of a notification the subscription goes, and a lifecycle event tells of it).
    """

    throttle: When = NEVER
    throttle_silently: When = NEVER
    retry_after_seconds: Count = 1
    unavailable: When = NEVER
    gateway_timeout: When = NEVER
    refuse_token: When = NEVER
    revoke_tokens: When = NEVER
    token_lifetime_seconds: Annotated[int, msgspec.Meta(ge=1)] = 3599
    clock_skew_seconds: float = 0.0
    hang_up: When = NEVER
    gateway_page: When = NEVER
    latency_seconds: NotNegative = 0.0

    reset: When = NEVER
    reset_after_bytes: Count | None = None
    stall: When = NEVER
    stall_after_bytes: Count | None = None
    short: When = NEVER
    short_after_bytes: Count | None = None
    change_on_reopen: When = NEVER
    framing: Framing = "length"
    timeout_over_bytes: Count | None = None
    timeout_after_seconds: NotNegative = 30.0
    body_latency_seconds: NotNegative = 0.0

    inflated_size_factor: NotNegative = 1.0
    wrong_inline_flag: When = NEVER
    attachments_per_page: Annotated[int, msgspec.Meta(ge=1)] = 100
    change_attachment_ids: When = NEVER
    unknown_for_seconds: NotNegative = 0.0
    placeholder_seconds: NotNegative = 0.0
    forget_delta: When = NEVER

    lose_notification: When = NEVER
    duplicate_notification: When = NEVER
    delay_notification: When = NEVER
    notification_delay_seconds: NotNegative = 0.5
    missed_after_loss: When = NEVER
    remove_subscription: When = NEVER

    def as_json(self) -> dict[str, Any]:
        """Names and values, as `set` takes them."""
        return asdict(self)

    def set(self, name: str, value: object) -> None:
        """Set one by its name, from JSON: a number is the chance of a `When`, an object its fields.

        Raises ValueError, whose text says what is there or what was expected.
        """
        kinds = {field.name: field.type for field in fields(self)}
        if name not in kinds:
            raise ValueError(f"there is no fault {name}; there are {', '.join(kinds)}")
        try:
            setattr(self, name, _when(value) if kinds[name] is When else msgspec.convert(value, kinds[name]))
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from None


def parse_value(text: str) -> object:
    """The value in `--fault name=value`, as `Faults.set` takes it.

    A number, a word, `none`, or for a `When` also `next:N`, each of them followed by `,routes=value+attachments` and
    `,mailbox=a@example.com` where only some calls are meant. Raises ValueError.
    """
    head, *details = text.split(",")
    parsed: dict[str, object] = {}
    for detail in details:
        key, equals, given = detail.partition("=")
        if not equals or key not in {"routes", "mailbox", "times"}:
            raise ValueError(f"{detail}: routes=, mailbox= or times= was expected")
        parsed[key] = given.split("+") if key == "routes" else _times(given) if key == "times" else given.lower()
    if head.startswith("next:"):
        return {"chance": 1.0, "times": _times(head.removeprefix("next:"))} | parsed
    value: object = None if head == "none" else _number(head)
    return {"chance": value} | parsed if parsed else value


def _times(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text}: a number of times was expected")
    return int(text)


def _number(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _when(value: object) -> When:
    if isinstance(value, When):
        return value
    if isinstance(value, dict):
        unknown = value.keys() - {field.name for field in fields(When)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(map(str, unknown))}")
        return msgspec.convert({"chance": 1.0} | value, When)
    return When(msgspec.convert(value, float))
