"""Failed keys by address and places for downloads, seen from outside."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from satchel.contract.errors import ErrorEnvelope
from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.gateway.limits.downloads import Downloads
from satchel.mail.source import BrokenMessage
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import Answer, MemoryContent, MemorySource, attachment, call

LIST = LIST_ATTACHMENTS.url(message_id="m1")
DOWNLOAD = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="a1")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def reason(answer: Answer) -> str | None:
    return msgspec.json.decode(answer.body, type=ErrorEnvelope).error.reason


@pytest.fixture(autouse=True)
def _mail(source: MemorySource, make_key: MakeKey, index: Callable[..., None]) -> None:
    index("m1")
    source.files["m1"] = {"a1": MemoryContent(attachment("a1", b"data"), [b"da", b"ta"], 4)}


async def test_an_address_with_too_many_failures_is_refused_with_any_key(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(failed_keys=2), make_key()
    for wrong in ({}, bearer("nonsense")):
        assert (await call(app, LIST, headers=wrong)).status == 401
    for headers in ({}, bearer(key)):
        refused = await call(app, LIST, headers=headers)
        assert (refused.status, reason(refused)) == (429, "too_many_failed_keys")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "ratelimit" not in refused.headers


async def test_only_failures_of_the_key_count(make_app: MakeApp, make_key: MakeKey) -> None:
    app, key = make_app(failed_keys=1), make_key()
    missing = LIST_ATTACHMENTS.url(message_id="unknown")
    answers = [(await call(app, path, headers=bearer(key))).status for path in (LIST, missing, missing, LIST)]
    assert answers == [200, 404, 404, 200]


async def test_downloads_beyond_the_bound(make_app: MakeApp, make_key: MakeKey) -> None:
    downloads = Downloads(per_key=1, in_all=2)
    app, key = make_app(downloads=downloads), make_key()
    held = downloads.enter("someone"), downloads.enter("else")
    refused = await call(app, DOWNLOAD, headers=bearer(key))
    assert (refused.status, reason(refused)) == (503, "too_many_downloads")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await call(app, LIST, headers=bearer(key))).status == 200
    held[0].close()
    assert (await call(app, DOWNLOAD, headers=bearer(key))).status == 200


async def test_a_running_download_holds_its_place(make_app: MakeApp, make_key: MakeKey, source: MemorySource) -> None:
    downloads = Downloads(per_key=1, in_all=5)
    app, key = make_app(downloads=downloads), make_key()
    source.files["m1"]["a1"].stalls_at = 1
    running = asyncio.create_task(call(app, DOWNLOAD, headers=bearer(key)))
    while not downloads.in_use:
        await asyncio.sleep(0)
    assert (await call(app, DOWNLOAD, headers=bearer(key))).status == 503
    running.cancel()
    await asyncio.wait({running})
    assert downloads.in_use == 0


@pytest.mark.parametrize("how", ["whole", "HEAD", "304", "416", "unknown", "broken before", "broken within", "left"])
async def test_the_place_is_given_back_however_it_ends(
    make_app: MakeApp, make_key: MakeKey, source: MemorySource, how: str
) -> None:
    downloads = Downloads(per_key=5, in_all=5)
    app, headers, content = make_app(downloads=downloads), bearer(make_key()), source.files["m1"]["a1"]
    path, method, leave_after_bytes = DOWNLOAD, "HEAD" if how == "HEAD" else "GET", None
    if how == "304":
        headers["if-none-match"] = '"v1"'
    elif how == "416":
        headers["range"] = "bytes=100-"
    elif how == "unknown":
        path = DOWNLOAD_ATTACHMENT.url(message_id="m1", attachment_id="other")
    elif how == "broken before":
        content.pieces = [BrokenMessage()]
    elif how == "broken within":
        content.pieces = [b"da", BrokenMessage()]
    elif how == "left":
        content.pieces, content.size = [b"da"] * 2 + [b"ta"] * 2, 8
        content.stalls_at, leave_after_bytes = 3, 1
    await call(app, path, method=method, headers=headers, leave_after_bytes=leave_after_bytes)
    assert downloads.in_use == 0
