"""Junk in Graph's answers: what comes of it is a value or a source's own error, never anything else."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.attachments import Attachment
from satchel.mail.graph import decode, inline
from satchel.mail.graph.errors import GraphRefusal
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import graph_id, public_id
from satchel.mail.graph.wire import Page, error_code
from satchel.mail.source import SourceError
from tests.unit.mail.graph.fakes import FakeAnswer, FakeGraph, http_over

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TEXT = st.text(max_size=60) | st.sampled_from(
    ["<logo@x>", "image/png", "#microsoft.graph.fileAttachment", "AAkA=", "a\nb"]
)
ANY = JUNK | TEXT


IDS = st.sampled_from(["AAkALgAA=", "AAMk/+a=="]) | ANY


def thing(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANY) | {"id": IDS})


ATTACHMENT = thing("id", "@odata.type", "name", "contentType", "size", "isInline", "contentId", "lastModifiedDateTime")
MESSAGE = thing(
    "id", "internetMessageId", "conversationId", "receivedDateTime", "sender", "from", "toRecipients", "subject", "body"
)


def value_of(call: Callable[[], Any]) -> Any:
    """None for an error that says to try again, which is what becomes of an answer that is none of Graph's."""
    try:
        return call()
    except SourceError as error:
        if not error.transient:
            raise
        return None


def get(body: bytes, as_: type[Any]) -> Any:
    async def ask() -> Any:
        http: GraphHttp = http_over(FakeGraph(lambda asked: FakeAnswer(200, body)))
        return await http.get("x", mailbox="a@example.com", as_=as_)

    return asyncio.run(ask())


@given(st.lists(ATTACHMENT, max_size=5) | JUNK)
def test_lists_of_attachments(value: Any) -> None:
    body = msgspec.json.encode({"value": value})
    listed = value_of(lambda: decode.attachments(get(body, Page[decode.WireAttachment]).value))
    if listed is None:
        return
    found = inline.with_inline(listed, inline.Shown(frozenset({"logo@x"})))
    assert len(found) == len(value)
    for each in found:
        # It goes through the wire and comes back as it was.
        assert msgspec.json.decode(msgspec.json.encode(each), type=Attachment) == each
        assert each.name.strip()
        assert each.size >= 0
        assert each.content_type == each.content_type.lower()
        assert ";" not in each.content_type
        assert graph_id(each.id) is not None


@given(MESSAGE | JUNK)
def test_messages(value: Any) -> None:
    body = msgspec.json.encode(value)
    value_of(lambda: inline.shown_by(get(body, inline.WireBody), frozenset({"logo@x"})))
    summary = value_of(lambda: decode.summary(get(body, decode.WireMessage), "a@example.com", has_attachments=False))
    if summary is None:
        return
    assert summary.ref.message_id
    assert summary.received.tzinfo is not None
    assert not set(summary.subject) & set("\r\n\0")


@given(st.binary(max_size=200) | st.builds(msgspec.json.encode, st.fixed_dictionaries({"error": thing("code") | JUNK})))
def test_bytes_of_any_kind(body: bytes) -> None:
    code = error_code(body)
    assert code == "" or (code.isascii() and code.replace("_", "").replace(".", "").isalnum() and len(code) <= 100)
    page = value_of(lambda: get(body, Page[decode.WireAttachment]))
    assert page is None or all(isinstance(each.id, str) for each in page.value)


@given(st.integers(300, 599), st.binary(max_size=100), st.dictionaries(st.just("Retry-After"), st.text(max_size=12)))
def test_failures(status: int, body: bytes, headers: dict[str, str]) -> None:
    async def ask() -> None:
        http = http_over(FakeGraph(lambda asked: FakeAnswer(status, body, headers)))
        await http.get("x", mailbox="a@example.com", as_=dict, patience_seconds=0.0)

    with pytest.raises((SourceError, GraphRefusal)) as caught:
        asyncio.run(ask())
    assert str(caught.value).isascii()


@given(st.text(max_size=40))
def test_ids(text: str) -> None:
    found = graph_id(text)
    assert found is None or public_id(found) == text
