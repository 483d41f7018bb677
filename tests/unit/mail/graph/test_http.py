import asyncio
from types import NoneType

import msgspec
import pytest

from satchel.mail.graph.errors import GraphRefusal, TooLarge
from satchel.mail.graph.transport import Broken
from satchel.mail.graph.wire import Page
from satchel.mail.source import SourceUnavailable
from tests.unit.mail.graph.fakes import BASE_URL, Asked, FakeAnswer, FakeGraph, FakeTokens, http_over, json, refusal

A, B = "a@example.com", "b@example.com"


class Thing(msgspec.Struct):
    id: str


ONE = json({"id": "1"})


async def get(graph: FakeGraph, **options: float) -> Thing:
    return await http_over(graph, **options).get("things/1", mailbox=A, as_=Thing)


async def unavailable(graph: FakeGraph, **options: float) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        await get(graph, **options)
    assert A not in str(caught.value)
    return caught.value


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_what_every_request_carries() -> None:
    graph = FakeGraph.of(json({"value": []}), json({"id": "1"}))
    http = http_over(graph)
    params = {"$select": "id,microsoft.graph.fileAttachment/contentId", "$filter": "x eq 'a''b&c=d'"}
    pages = http.pages("users/a+b/things", mailbox=A, as_=Page[Thing], params=params, prefer=["odata.maxpagesize=50"])
    assert [page async for page in pages] == [Page([])]
    await http.post("things", {"a": 1}, mailbox=None, as_=Thing)
    listed, posted = (asked.request for asked in graph.asked)
    assert listed.url.startswith(
        f"{BASE_URL}/v1.0/users/a+b/things?$select=id,microsoft.graph.fileAttachment/contentId&"
    )
    assert graph.asked[0].params == params
    assert listed.headers["Authorization"] == "Bearer t0"
    assert listed.headers["Accept-Encoding"] == "identity"
    assert listed.headers["Prefer"] == 'IdType="ImmutableId", odata.maxpagesize=50'
    assert listed.headers["client-request-id"] != posted.headers["client-request-id"]
    assert (posted.method, posted.body, posted.headers["Content-Type"]) == ("POST", b'{"a":1}', "application/json")
    assert all(answer.released for answer in graph.answers)


async def test_pages_are_followed_to_their_end() -> None:
    graph = FakeGraph.of(
        json({"value": [{"id": "1"}], "@odata.nextLink": f"{BASE_URL}/v1.0/things?$skiptoken=a%20b"}),
        json({"value": [], "@odata.nextLink": f"{BASE_URL}/v1.0/things?$skiptoken=c"}),
        json({"value": [{"id": "2"}], "@odata.deltaLink": f"{BASE_URL}/v1.0/things?$deltatoken=d"}),
    )
    pages = [page async for page in http_over(graph).pages("things", mailbox=A, as_=Page[Thing])]
    assert [each.id for page in pages for each in page.value] == ["1", "2"]
    assert pages[-1].delta_link == f"{BASE_URL}/v1.0/things?$deltatoken=d"
    assert graph.asked[1].request.url == f"{BASE_URL}/v1.0/things?$skiptoken=a%20b"


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.example.evil/v1.0/x",
        "http://graph.example/v1.0/x",
        "https://graph.example:8443/v1.0/x",
        "https://graph.example@evil.example/v1.0/x",
        "https://user@graph.example/v1.0/x",
        "https://evil.example#@graph.example/x",
        "https://evil.example\\@graph.example/x",
        "https://graph.example/v1.0/x\r\nHost: evil.example",
        "https://[::1/x",
        "//evil.example/x",
    ],
)
async def test_the_token_goes_nowhere_else(link: str) -> None:
    graph = FakeGraph(lambda asked: json({"value": [], "@odata.nextLink": link}))
    with pytest.raises(SourceUnavailable):
        async for _ in http_over(graph).pages("things", mailbox=A, as_=Page[Thing]):
            pass
    assert all(asked.request.url.startswith(f"{BASE_URL}/v1.0/") for asked in graph.asked)


async def test_pages_in_a_circle_end() -> None:
    graph = FakeGraph(lambda asked: json({"value": [], "@odata.nextLink": f"{BASE_URL}/v1.0/things?$skip=1"}))
    with pytest.raises(SourceUnavailable):
        async for _ in http_over(graph).pages("things", mailbox=A, as_=Page[Thing]):
            pass
    assert len(graph.asked) == 2


async def test_retry_after_is_waited_for_by_all_of_the_mailbox_and_by_no_other() -> None:
    throttled = False

    def script(asked: Asked) -> FakeAnswer:
        nonlocal throttled
        if asked.path == "first" and not throttled:
            throttled = True
            return refusal(429, "ApplicationThrottled", Retry_After="7")
        return json({"id": asked.path})

    graph = FakeGraph(script)
    http = http_over(graph)
    first = asyncio.create_task(http.get("first", mailbox=A, as_=Thing))
    await asyncio.sleep(1)
    other = asyncio.create_task(http.get("other", mailbox=B, as_=Thing))
    same = asyncio.create_task(http.get("same", mailbox=A, as_=Thing))
    await asyncio.gather(first, other, same)
    came = {asked.path: asked.at for asked in graph.asked}
    assert came == {"first": pytest.approx(7), "other": pytest.approx(1), "same": pytest.approx(7)}


async def test_a_retry_after_beyond_the_patience_is_told_at_once_also_to_those_who_come_later() -> None:
    graph = FakeGraph.of(refusal(429, "ApplicationThrottled", Retry_After="60"))
    http = http_over(graph, patience_seconds=20.0)
    left = []
    for _ in range(2):
        with pytest.raises(SourceUnavailable) as caught:
            await http.get("things", mailbox=A, as_=Thing)
        assert caught.value.upstream_status == 429
        left.append(caught.value.retry_after_seconds)
        await asyncio.sleep(15)
    assert left == [pytest.approx(60), pytest.approx(45)]
    assert len(graph.asked) == 1


async def test_a_retry_after_of_years_is_not_believed() -> None:
    graph = FakeGraph.of(refusal(429, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), ONE)
    http = http_over(graph)
    with pytest.raises(SourceUnavailable) as caught:
        await http.get("things", mailbox=A, as_=Thing)
    assert caught.value.retry_after_seconds == pytest.approx(3600)
    await asyncio.sleep(3601)
    assert (await http.get("things", mailbox=A, as_=Thing)).id == "1"


@pytest.mark.parametrize("status", [202, 203, 204, 205])
async def test_an_answer_without_content_is_no_body(status: int) -> None:
    graph = FakeGraph.of(FakeAnswer(status, b"", {"Transfer-Encoding": "chunked"}))
    http = http_over(graph)
    with pytest.raises(SourceUnavailable):
        await http.stream("file", mailbox=A)
    assert graph.answers[0].released
    assert http.free_places(A) == 4


async def test_a_retry_after_may_be_a_date() -> None:
    graph = FakeGraph.of(refusal(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), ONE)
    assert (await get(graph)).id == "1"


async def test_throttled_without_retry_after_backs_off_longer_each_time() -> None:
    graph = FakeGraph.of(*[refusal(429, "ApplicationThrottled")] * 4, ONE)
    assert (await get(graph)).id == "1"
    waits = [after.at - before.at for before, after in zip(graph.asked, graph.asked[1:], strict=False)]
    assert waits == [pytest.approx(each) for each in (0.25, 0.5, 1.0, 2.0)]


async def test_endless_throttling_ends_within_the_patience() -> None:
    graph = FakeGraph(lambda asked: refusal(429, "ApplicationThrottled", Retry_After="3"))
    error = await unavailable(graph, patience_seconds=10.0)
    assert error.upstream_status == 429
    assert error.retry_after_seconds == pytest.approx(3)
    assert now() == pytest.approx(9)


async def test_no_place_is_held_while_waiting() -> None:
    graph = FakeGraph.of(refusal(429, Retry_After="5"), refusal(503), ONE)
    http = http_over(graph, max_concurrent=1, max_concurrent_per_mailbox=1)
    task = asyncio.create_task(http.get("things", mailbox=A, as_=Thing))
    await asyncio.sleep(0.1)
    assert http.free_places(B) == 1
    await task
    assert http.free_places(A) == 1


@pytest.mark.parametrize("trouble", [503, 504, 502, 500, None])
async def test_a_get_is_tried_again(trouble: int | None) -> None:
    failure = Broken("the connection broke") if trouble is None else refusal(trouble)
    graph = FakeGraph.of(failure, failure, ONE)
    assert (await get(graph)).id == "1"


async def test_trouble_without_end_is_forwarded() -> None:
    graph = FakeGraph(lambda asked: refusal(503, "ServiceUnavailable"))
    error = await unavailable(graph)
    assert (error.upstream_status, len(graph.asked)) == (503, 4)


async def test_a_server_that_cannot_be_reached() -> None:
    graph = FakeGraph.of(*[Broken("Connection refused", may_have_acted=False)] * 4)
    error = await unavailable(graph)
    assert error.upstream_status is None
    assert "Connection refused" in str(error)


async def test_a_body_that_breaks_is_asked_for_again() -> None:
    graph = FakeGraph.of(FakeAnswer(body=[b'{"id"'], broken=True), ONE)
    assert (await get(graph)).id == "1"


async def test_a_post_is_repeated_only_when_nothing_can_have_come_of_it() -> None:
    for failure in (refusal(503), refusal(504), Broken("the connection broke")):
        graph = FakeGraph.of(failure)
        with pytest.raises(SourceUnavailable):
            await http_over(graph).post("things", {}, mailbox=A, as_=Thing)
        assert len(graph.asked) == 1
    for failure in (refusal(429), Broken("Connection refused", may_have_acted=False), refusal(401)):
        graph = FakeGraph.of(failure, ONE)
        assert (await http_over(graph).post("things", {}, mailbox=A, as_=Thing)).id == "1"
    graph = FakeGraph.of(refusal(503), ONE)
    assert (await http_over(graph).post("things", {}, mailbox=A, as_=Thing, repeatable=True)).id == "1"
    graph = FakeGraph.of(refusal(503), FakeAnswer(204), refusal(503), FakeAnswer(204), FakeAnswer(202))
    http = http_over(graph)
    await http.patch("things/1", {"a": 1}, mailbox=A, as_=NoneType)
    await http.delete("things/1", mailbox=A)
    await http.post("things/1/reauthorize", {}, mailbox=A, as_=NoneType)
    assert [asked.request.method for asked in graph.asked] == ["PATCH", "PATCH", "DELETE", "DELETE", "POST"]


async def test_a_refused_token_is_renewed_once() -> None:
    graph = FakeGraph.of(refusal(401, "InvalidAuthenticationToken"), ONE)
    assert (await get(graph)).id == "1"
    assert [asked.request.headers["Authorization"] for asked in graph.asked] == ["Bearer t0", "Bearer t1"]
    graph = FakeGraph.of(*[refusal(401, "InvalidAuthenticationToken")] * 2)
    assert (await unavailable(graph)).upstream_status == 401


async def test_all_who_are_refused_at_once_share_one_new_token() -> None:
    def script(asked: Asked) -> FakeAnswer:
        old = asked.request.headers["Authorization"] == "Bearer t0"
        return refusal(401) if old else json({"id": "1"})

    tokens = FakeTokens()
    http = http_over(FakeGraph(script), tokens=tokens)
    await asyncio.gather(*(http.get("things", mailbox=A, as_=Thing) for _ in range(9)))
    assert tokens.number == 1


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (refusal(404, "ErrorItemNotFound"), 404, "ErrorItemNotFound"),
        (refusal(403, "ErrorAccessDenied"), 403, "ErrorAccessDenied"),
        (refusal(410, "SyncStateNotFound"), 410, "SyncStateNotFound"),
        (FakeAnswer(400, b"<html>no</html>"), 400, ""),
        (json({"error": {"code": "a@example.com wrote\r\n"}}, 400), 400, ""),
        (json({"error": {"code": 7}}, 400), 400, ""),
        (json({"error": "x"}, 400), 400, ""),
        (FakeAnswer(405, b"[" * 70_000), 405, ""),
        (FakeAnswer(409, [b"x"], broken=True), 409, ""),
    ],
)
async def test_refusals_have_status_and_code_and_nothing_else(answer: FakeAnswer, status: int, code: str) -> None:
    with pytest.raises(GraphRefusal) as caught:
        await get(FakeGraph.of(answer))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "example.com" not in str(caught.value)
    assert answer.released


@pytest.mark.parametrize(
    "answer",
    [
        FakeAnswer(200, b"<html>Sign in</html>"),
        FakeAnswer(200, b'{"id": 1}'),
        FakeAnswer(200, b""),
        FakeAnswer(200, b"\xff"),
        FakeAnswer(200, b"[" * 100_000),
        FakeAnswer(200, b'{"id": "1"}', {"Content-Encoding": "gzip"}),
        FakeAnswer(200, b'{"id": "1"}', {"Transfer-Encoding": "gzip, chunked"}),
        FakeAnswer(302, b"", {"Location": "https://evil.example/"}),
    ],
)
async def test_a_success_that_is_none_of_graphs_is_transient(answer: FakeAnswer) -> None:
    graph = FakeGraph.of(answer)
    assert (await unavailable(graph)).upstream_status == 502
    assert len(graph.asked) == 1


async def test_an_answer_is_read_to_a_bound() -> None:
    http = http_over(FakeGraph(lambda asked: json({"id": "x" * 100})))
    await http.get("things", mailbox=A, as_=Thing, max_bytes=109)
    with pytest.raises(TooLarge):
        await http.get("things", mailbox=A, as_=Thing, max_bytes=108)


async def test_a_stream_holds_its_places_until_it_is_closed() -> None:
    graph = FakeGraph(lambda asked: FakeAnswer(200, [b"abc", b"de"], {"Content-Length": "5", "Content-Type": "x/y"}))
    http = http_over(graph, max_concurrent_per_mailbox=2)
    body = await http.stream("things/$value", mailbox=A, headers={"Range": "bytes=0-"})
    assert (body.status, body.length, body.content_type, body.end_is_known) == (200, 5, "x/y", True)
    assert graph.asked[0].request.headers["Range"] == "bytes=0-"
    assert [piece async for piece in body.chunks()] == [b"abc", b"de"]
    assert http.free_places(A) == 1
    assert not graph.answers[0].released
    await body.aclose()
    await body.aclose()
    assert http.free_places(A) == 2
    assert graph.answers[0].released


async def test_streams_wait_for_each_other() -> None:
    graph = FakeGraph(lambda asked: FakeAnswer(200, b"x"))
    http = http_over(graph, max_concurrent_per_mailbox=1, patience_seconds=5.0)
    body = await http.stream("things/$value", mailbox=A)
    with pytest.raises(SourceUnavailable) as caught:
        await http.stream("things/$value", mailbox=A)
    assert caught.value.upstream_status is None
    waiting = asyncio.create_task(http.stream("things/$value", mailbox=A))
    await asyncio.sleep(1)
    await body.aclose()
    await (await waiting).aclose()


async def test_many_streams_read_less_far_ahead() -> None:
    graph = FakeGraph(lambda asked: FakeAnswer(200, b"x"))
    http = http_over(graph, max_concurrent=601, max_concurrent_per_mailbox=601)
    bodies = [await http.stream("things/$value", mailbox=A) for _ in range(600)]
    sizes = [asked.request.read_buffer_bytes for asked in graph.asked]
    assert sizes[0] == sizes[31] == 256 * 1024
    assert sizes[63] == 128 * 1024
    assert sizes[-1] == 16 * 1024
    for body in bodies:
        await body.aclose()
    await (await http.stream("things/$value", mailbox=A)).aclose()
    assert graph.asked[-1].request.read_buffer_bytes == 256 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        FakeAnswer(200, [b"abc"], {"Content-Length": "4"}),
        FakeAnswer(200, [b"abc"], {"Content-Length": "2"}),
        FakeAnswer(200, [b"abc"], {"Transfer-Encoding": "chunked"}, broken=True),
        FakeAnswer(200, [b"abc"], {}),
    ],
)
async def test_a_body_never_ends_silently(answer: FakeAnswer) -> None:
    body = await http_over(FakeGraph.of(answer)).stream("things/$value", mailbox=A)
    with pytest.raises(SourceUnavailable):
        _ = [piece async for piece in body.chunks()]
    await body.aclose()


async def test_a_stream_is_not_led_elsewhere() -> None:
    graph = FakeGraph.of(FakeAnswer(302, b"page", {"Location": "https://evil.example/"}))
    with pytest.raises(SourceUnavailable):
        await http_over(graph).stream("things/$value", mailbox=A)


async def test_a_call_that_is_cancelled_holds_nothing() -> None:
    async def hang(asked: Asked) -> FakeAnswer:
        await asyncio.sleep(1_000)
        return ONE

    graph = FakeGraph(hang)
    http = http_over(graph)
    tasks = [asyncio.create_task(http.stream("x", mailbox=A)) for _ in range(9)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert http.free_places(A) == 4
    await http.aclose()
    assert graph.closed


async def test_a_call_may_have_no_patience_at_all() -> None:
    graph = FakeGraph.of(refusal(503, Retry_After="1"), ONE)
    http = http_over(graph, max_concurrent_per_mailbox=1)
    with pytest.raises(SourceUnavailable):
        await http.get("things", mailbox=A, as_=Thing, patience_seconds=0.0)
    body = await http.stream("things", mailbox=A, patience_seconds=0.0)
    with pytest.raises(SourceUnavailable):
        await http.get("things", mailbox=A, as_=Thing, patience_seconds=0.0)
    await body.aclose()
    assert now() == 0


async def test_the_servers_own_time_is_no_waiting() -> None:
    async def slow(asked: Asked) -> FakeAnswer:
        await asyncio.sleep(30)
        return refusal(504) if len(graph.asked) < 3 else ONE

    graph = FakeGraph(slow)
    assert (await get(graph, patience_seconds=5.0)).id == "1"
