import asyncio

import pytest

from satchel.mail.graph.bodies import AttachmentBodies
from satchel.mail.graph.body import GraphBody
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.identity import Identity
from satchel.mail.graph.ids import Place
from satchel.mail.graph.opening import range_from
from tests.unit.mail.graph.fakes import Asked, FakeAnswer, FakeGraph, http_over, refusal

MAILBOX = "a@example.com"
MESSAGE = "AAkALgAA" + "m" * 20
PATH = f"users/{MAILBOX}/messages/{MESSAGE}/attachments/AAkAfile/$value"


def bodies_over(graph: FakeGraph) -> tuple[AttachmentBodies, GraphHttp]:
    http = http_over(graph)
    return AttachmentBodies(http, Identity(http, [MAILBOX]), Place(MESSAGE).ref(MAILBOX), "AAkAfile"), http


async def first(bodies: AttachmentBodies) -> GraphBody:
    return await bodies.stream(PATH, mailbox=MAILBOX, headers=range_from(0))


async def test_a_body_asked_for_ahead_is_the_first_that_is_taken_and_no_other() -> None:
    graph = FakeGraph(lambda asked: FakeAnswer(200, b"file"))
    bodies, http = bodies_over(graph)
    bodies.ask_ahead()
    taken = await first(bodies)
    assert len(graph.asked) == 1
    await (await first(bodies)).aclose()
    assert len(graph.asked) == 2
    await bodies.aclose()
    assert http.free_places(MAILBOX) == 3
    await taken.aclose()
    assert http.free_places(MAILBOX) == 4


async def test_what_could_not_be_had_ahead_is_asked_for_again_with_patience() -> None:
    graph = FakeGraph.of(refusal(429, "ApplicationThrottled", Retry_After="3"), FakeAnswer(200, b"file"))
    bodies, _ = bodies_over(graph)
    bodies.ask_ahead()
    body = await first(bodies)
    assert [piece async for piece in body.chunks()] == [b"file"]
    assert [asked.at for asked in graph.asked] == [0.0, 3.0]
    await body.aclose()


@pytest.mark.parametrize("has_come", [True, False])
async def test_a_body_that_nobody_takes_is_closed_also_where_the_closing_is_cancelled(has_come: bool) -> None:
    async def answer(asked: Asked) -> FakeAnswer:
        await asyncio.sleep(1.0)
        return FakeAnswer(200, b"file")

    graph = FakeGraph(answer)
    bodies, http = bodies_over(graph)
    bodies.ask_ahead()
    await asyncio.sleep(2.0 if has_come else 0.5)
    assert http.free_places(MAILBOX) == 3
    closing = asyncio.create_task(bodies.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    await asyncio.sleep(0.1)
    assert http.free_places(MAILBOX) == 4
    assert all(answer.released for answer in graph.answers)
