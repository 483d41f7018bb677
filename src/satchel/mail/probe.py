"""What a doctor asks of a mail server: each question once, without the patience of a source, and the plain answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. `status` None: nothing did, and `trouble` says why in words without an address.

    `code` is the error's code as the server spells it. `server_time` and `our_time` are the two clocks when it came,
    `throttle_share` how much of a limit is used, where the server says so: 0.8 and more, 1 is the limit.
    """

    status: int | None
    code: str = ""
    trouble: str = ""
    server_time: datetime | None = None
    our_time: datetime | None = None
    retry_after_seconds: float | None = None
    throttle_share: float | None = None
    content_type: str = ""
    body: bytes = b""


class Prober(Protocol):
    """Asks in the name of the application. Close it."""

    async def token(self) -> str:
        """An access token. Raises SourceUnavailable, whose text has the authority's own code where it gave one."""
        ...

    async def read_mailbox(self, address: str, folder: str) -> Reply:
        """Ask for the id of one message in a folder of a mailbox. Raises SourceUnavailable without a token."""
        ...

    async def shake_hands(self, url: str, validation_token: str) -> Reply:
        """POST to a URL of ours what Graph would, when it is to send notifications there."""
        ...

    async def aclose(self) -> None: ...
