"""Counts what became of requests to Graph, each attempt by itself, in the place of the transport that makes them."""

from enum import StrEnum

from satchel.mail.graph.transport import Answer, Broken, Request, Transport


class Outcome(StrEnum):
    """What became of a request: an answer of success, one that refuses (4xx), a limit (429), a failure of the server
    (5xx), or no answer."""

    OK = "ok"
    REFUSED = "refused"
    THROTTLED = "throttled"
    FAILED = "failed"
    BROKEN = "broken"


class CallCounts:
    """How many requests had which outcome since the start."""

    def __init__(self) -> None:
        self.by_outcome: dict[str, int] = dict.fromkeys(Outcome, 0)

    def note(self, outcome: Outcome) -> None:
        self.by_outcome[outcome] += 1


class CountedTransport:
    """A `Transport` that is another one, with its requests counted."""

    def __init__(self, transport: Transport, counts: CallCounts) -> None:
        self._transport = transport
        self._counts = counts

    async def send(self, request: Request) -> Answer:
        try:
            answer = await self._transport.send(request)
        except Broken:
            self._counts.note(Outcome.BROKEN)
            raise
        self._counts.note(outcome_of(answer.status))
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()


def outcome_of(status: int) -> Outcome:
    """Of an answer with this status; a redirect is none that is followed, and so a refusal."""
    if status == 429:
        return Outcome.THROTTLED
    if status >= 500:
        return Outcome.FAILED
    return Outcome.OK if status < 300 else Outcome.REFUSED
