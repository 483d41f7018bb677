"""What the Graph client asks of whoever knows the application's credential."""

from typing import Protocol


class TokenSource(Protocol):
    """Access tokens for Graph. Every method raises `SourceUnavailable` when no token can be had."""

    async def token(self) -> str:
        """A token that is good for a while: the one at hand, until it is near its end."""
        ...

    async def renewed(self, stale: str) -> str:
        """A token other than `stale`, which Graph has refused. All who ask for it meanwhile share one renewal."""
        ...

    async def aclose(self) -> None: ...
