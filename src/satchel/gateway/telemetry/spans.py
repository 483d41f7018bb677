"""What the gateway needs of tracing: a span for each request, and spans inside it. Says nothing of how it is done."""

from collections.abc import Callable
from typing import Protocol

EndSpan = Callable[[BaseException | None], None]


class RequestSpan(Protocol):
    """The span of a request under way; spans that begin meanwhile in its tasks are its children."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    def end(self, route: str | None, status: int) -> None:
        """To be called in the context of the beginning. `route` is the path's template, None where no route took it."""
        ...


class Tracing(Protocol):
    """Where spans go. They hold methods, route templates, statuses and classes of errors, nothing else."""

    def begin_request(self, method: str, scheme: str, traceparent: str | None) -> RequestSpan:
        """`traceparent` is the caller's own (W3C Trace Context); one that is malformed counts as none."""
        ...

    def begin(self, name: str) -> EndSpan:
        """A span inside the request of this context; outside of one it is not recorded. Give its end what failed."""
        ...
