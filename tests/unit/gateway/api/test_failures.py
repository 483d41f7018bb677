"""Every failure has the one shape, and no request makes a 500 (contract section 4)."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from structlog.testing import capture_logs

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.contract.scopes import Scope
from satchel.mail.source import BrokenMessage, SourceUnavailable
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import MemoryContent, MemorySource, attachment, call

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "gateway_errors.json").read_text("utf-8"))
LIST = LIST_ATTACHMENTS.url(message_id="m1")
DOWNLOAD = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="a1")

Requests = dict[str, tuple[str, dict[str, Any]]]


@pytest.fixture
def requests(source: MemorySource, make_key: MakeKey, index: Callable[..., None]) -> Requests:
    index("m1", "broken", "away", "throttled")
    source.files["m1"] = {
        "a1": MemoryContent(attachment("a1", b"data"), [b"data"], 4),
        "item": MemoryContent(attachment("item", attachment_type="itemAttachment"), [], 0),
    }
    source.failures = {
        "broken": BrokenMessage("detail that nobody sees"),
        "away": SourceUnavailable("detail that nobody sees", retry_after_seconds=7.2),
        "throttled": SourceUnavailable("detail that nobody sees", upstream_status=429),
    }
    full = {"authorization": f"Bearer {make_key()}", "x-request-id": "golden-1"}
    narrow = full | {"authorization": f"Bearer {make_key(Scope.REPORTING)}"}
    anonymous = {"x-request-id": "golden-1"}
    return {
        "no key": (LIST, {"headers": anonymous}),
        "no scope": (LIST, {"headers": narrow}),
        "unknown message": (LIST.replace("m1", "zz"), {"headers": full}),
        "unknown attachment": (DOWNLOAD.replace("a1", "zz"), {"headers": full}),
        "no file": (DOWNLOAD.replace("a1", "item"), {"headers": full}),
        "range behind the end": (DOWNLOAD, {"headers": full | {"range": "bytes=4-"}}),
        "unreadable message": (LIST.replace("m1", "broken"), {"headers": full}),
        "mail server away": (LIST.replace("m1", "away"), {"headers": full}),
        "mail server throttles": (LIST.replace("m1", "throttled"), {"headers": full}),
        "unknown path": ("/api/v1/nothing?a=b%20c", {"headers": full}),
        "wrong method": (LIST, {"headers": full, "method": "POST", "body": b'{"parameters": {}}'}),
    }


@pytest.mark.parametrize("name", GOLDEN)
async def test_error_shapes(name: str, requests: Requests, make_app: MakeApp) -> None:
    path, arguments = requests[name]
    answer = await call(make_app(), path, **arguments)
    assert answer.complete
    assert int(answer.headers.pop("content-length")) == len(answer.body)
    assert {"status": answer.status, "headers": answer.headers, "body": json.loads(answer.body)} == GOLDEN[name]


def test_every_request_has_its_golden_shape(requests: Requests) -> None:
    assert list(requests) == list(GOLDEN)


async def test_a_defect_is_a_500_without_detail(source: MemorySource, requests: Requests, make_app: MakeApp) -> None:
    source.failures["m1"] = ZeroDivisionError("secret detail")
    path, arguments = requests["unknown message"]
    with capture_logs() as logs:
        answer = await call(make_app(), path.replace("zz", "m1"), **arguments)
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["reason"] == "internal"
    assert b"secret detail" not in answer.body
    assert "secret detail" not in repr(logs)
    assert any(line["event"] == "call_failed" and line["error"] == "ZeroDivisionError" for line in logs)


@pytest.mark.parametrize(
    ("host", "public_url", "expected"),
    [
        ("mail.example.com", None, "http://mail.example.com"),
        ("mail.example.com:8443", None, "http://mail.example.com:8443"),
        ("[::1]:8025", None, "http://[::1]:8025"),
        ('evil"><script>', None, "http://127.0.0.1:8025"),
        ("a@b", None, "http://127.0.0.1:8025"),
        ("", None, "http://127.0.0.1:8025"),
        ("mail.example.com", "https://api.example.com", "https://api.example.com"),
    ],
)
async def test_the_origin_is_the_url_as_the_client_asked_it(
    make_app: MakeApp, host: str, public_url: str | None, expected: str
) -> None:
    answer = await call(make_app(public_url=public_url), "/api/v1/x?y=1", headers={"host": host})
    assert json.loads(answer.body)["_links"]["origin"] == {"href": f"{expected}/api/v1/x?y=1", "method": "GET"}


@pytest.mark.parametrize(
    ("asked", "is_echoed"),
    [("abc-1._", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False), ("é", False)],
)
async def test_sane_request_ids_are_echoed(make_app: MakeApp, asked: str, is_echoed: bool) -> None:
    answer = await call(make_app(), "/healthz", headers={"x-request-id": asked})
    given = answer.headers["x-request-id"]
    assert (given == asked) == is_echoed
    assert len(given) >= 7


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/api/v1/messages/%00/attachments",
        b"/api/v1/messages/%FF%FE/attachments",
        b"/api/v1/messages/%ED%A0%80/attachments",
        b"/api/v1/messages/..%2F..%2Fetc/attachments",
        b"/api/v1/messages/%0d%0aX:y/attachments",
        b"/api/v1/messages//attachments",
        b"/api/v1/messages/m1/attachments/",
        b"//",
        b"/api/v1/messages/" + b"A" * 100_000 + b"/attachments",
        b"/api/v1/messages/m1/attachments/%00/download",
        "/api/v1/messages/\N{SNOWMAN}/attachments".encode(),
    ],
)
async def test_strange_paths_are_not_found(raw_path: bytes, requests: Requests, make_app: MakeApp) -> None:
    _, arguments = requests["unknown message"]
    answer = await call(make_app(), unquote(raw_path.decode()), raw_path=raw_path, **arguments)
    assert answer.status == 404
    assert json.loads(answer.body)["_links"]["origin"]["href"].startswith("http://gateway.test/")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 3000, b"x" * 70_000])
async def test_strange_bodies_do_no_harm(make_app: MakeApp, body: bytes) -> None:
    answer = await call(make_app(), LIST, method="POST", body=body)
    assert answer.status == 405
    assert "body" not in json.loads(answer.body)["_links"]["origin"]


async def test_a_nested_body_never_keeps_the_answer_waiting(make_app: MakeApp) -> None:
    app = make_app()
    # Near the interpreter's limit of nesting, which is 1,000 less what is on the stack.
    for depth in range(850, 1000):
        async with asyncio.timeout(10):
            answer = await call(app, LIST, method="POST", body=b"[" * depth + b"]" * depth)
        assert answer.status == 405


async def test_head_has_no_body_but_its_length(requests: Requests, make_app: MakeApp) -> None:
    _, arguments = requests["unknown attachment"]
    answer = await call(make_app(), DOWNLOAD.replace("a1", "zz"), method="HEAD", **arguments)
    assert (answer.status, answer.body) == (404, b"")
    assert int(answer.headers["content-length"]) > 100


async def test_health(make_app: MakeApp) -> None:
    assert (await call(make_app(), "/healthz")).status == 200
    assert (await call(make_app(), "/readyz")).status == 200
    waiting = await call(make_app(ready=False), "/readyz")
    assert (waiting.status, json.loads(waiting.body)["checks"]) == (
        503,
        {"running": True, "store": True, "intake": False},
    )


async def test_the_log_names_nothing_but_ids_and_counts(requests: Requests, make_app: MakeApp) -> None:
    path, arguments = requests["unknown message"]
    with capture_logs() as logs:
        await call(make_app(), path + "?name=Ann", **arguments)
    (line,) = [line for line in logs if line["event"] == "request"]
    assert set(line) == {
        "event",
        "log_level",
        "method",
        "route",
        "status",
        "reason",
        "body_bytes",
        "milliseconds",
        "key_id",
        "message_id",
    }
    assert line["route"] == LIST_ATTACHMENTS.path
    # What is not in the index is the client's own words.
    assert (line["reason"], line["message_id"]) == ("not_found", None)


async def test_the_log_tells_which_message_it_was_and_why(requests: Requests, make_app: MakeApp) -> None:
    path, arguments = requests["unreadable message"]
    with capture_logs() as logs:
        await call(make_app(), path, **arguments)
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["status"], line["reason"], line["message_id"]) == (502, "message_unreadable", "broken")
