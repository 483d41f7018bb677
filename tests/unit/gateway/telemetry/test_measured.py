"""What is measured of a mail source, and that it stays the source it was."""

from collections.abc import AsyncGenerator

import pytest
from prometheus_client import CollectorRegistry

from satchel.gateway.telemetry.measured import measured
from satchel.gateway.telemetry.metrics import Metrics
from satchel.mail.source import AttachmentNotFound, MailSource, SourceUnavailable
from tests.unit.gateway.fakes import MAILBOX, MemoryContent, MemorySource, attachment, ref

NAME = "satchel_gateway_source_duration_seconds_count"


def source_of(*pieces: bytes | Exception) -> MemorySource:
    size = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    return MemorySource(files={"m": {"a": MemoryContent(attachment("a"), list(pieces), size)}})


def count(registry: CollectorRegistry, operation: str, outcome: str = "ok") -> float | None:
    return registry.get_sample_value(NAME, {"operation": operation, "outcome": outcome})


async def test_nothing_is_in_the_way_where_nothing_is_measured() -> None:
    source = source_of()
    assert measured(source, None, None) is source


async def test_calls_pass_and_are_counted() -> None:
    metrics = Metrics()
    source: MailSource = measured(source_of(b"ab", b"cd", b"ef"), metrics, None)
    assert await source.mailboxes() == [MAILBOX]
    assert [one.id for one in await source.list(ref("m"))] == ["a"]
    assert (await source.describe(ref("m"))).subject == "Invoice"
    content = await source.open(ref("m"), "a")
    assert (content.attachment.id, content.size, content.etag) == ("a", 6, "v1")
    assert [piece async for piece in content.chunks(1, 5)] == [b"b", b"cd", b"e"]
    for operation in ("mailboxes", "list", "describe", "open", "first_read", "read"):
        assert count(metrics.registry, operation) == 1
    assert metrics.registry.get_sample_value("satchel_gateway_source_read_bytes_total") == 4


async def test_failures_pass_and_are_counted_by_class() -> None:
    metrics = Metrics()
    source = measured(source_of(b"ab", SourceUnavailable("gone")), metrics, None)
    with pytest.raises(AttachmentNotFound):
        await source.open(ref("m"), "other")
    content = await source.open(ref("m"), "a")
    with pytest.raises(SourceUnavailable):
        [piece async for piece in content.chunks()]
    assert count(metrics.registry, "open", "error") == 1
    assert count(metrics.registry, "read", "error") == 1
    labels = {"operation": "open", "error": "AttachmentNotFound"}
    assert metrics.registry.get_sample_value("satchel_gateway_source_errors_total", labels) == 1


async def test_a_stream_that_is_left_is_closed_and_no_failure() -> None:
    metrics = Metrics()
    inner = source_of(b"ab", b"cd")
    content = await measured(inner, metrics, None).open(ref("m"), "a")
    chunks = content.chunks()
    assert isinstance(chunks, AsyncGenerator)
    assert await anext(chunks) == b"ab"
    await chunks.aclose()
    await content.aclose()
    assert inner.files["m"]["a"].closed == 1
    assert count(metrics.registry, "read", "cancelled") == 1
    assert count(metrics.registry, "read", "error") is None
