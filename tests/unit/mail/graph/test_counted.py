"""What became of requests, counted where they are made."""

from collections.abc import AsyncIterator, Mapping

import pytest

from satchel.mail.graph.counted import CallCounts, CountedTransport, Outcome
from satchel.mail.graph.transport import Answer, Broken, Request


class GivenAnswer:
    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b""

    def release(self) -> None:
        pass


class GivenTransport:
    def __init__(self, outcome: int | Exception) -> None:
        self._outcome = outcome
        self.is_closed = False

    async def send(self, request: Request) -> Answer:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return GivenAnswer(self._outcome)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (202, "ok"),
        (302, "refused"),
        (401, "refused"),
        (404, "refused"),
        (429, "throttled"),
        (500, "failed"),
        (504, "failed"),
    ],
)
async def test_answers(status: int, outcome: str) -> None:
    counts = CallCounts()
    transport = CountedTransport(GivenTransport(status), counts)
    assert (await transport.send(Request(method="GET", url="https://graph.example", headers={}))).status == status
    assert {name for name, count in counts.by_outcome.items() if count} == {outcome}
    assert counts.by_outcome.keys() == set(Outcome)


async def test_no_answer_is_counted_and_stays_an_error() -> None:
    counts, inner = CallCounts(), GivenTransport(Broken("reset"))
    transport = CountedTransport(inner, counts)
    with pytest.raises(Broken):
        await transport.send(Request(method="GET", url="https://graph.example", headers={}))
    await transport.aclose()
    assert (counts.by_outcome["broken"], inner.is_closed) == (1, True)
