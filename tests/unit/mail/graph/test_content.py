"""An attachment's length by every way it can be known, and its bytes whole or an error, over bodies that break."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from satchel.mail.graph.content import GraphContent, content_key
from satchel.mail.graph.healing import ContentChanged
from satchel.mail.graph.options import ContentOptions
from satchel.mail.host import ContentFact
from satchel.mail.source import AttachmentNotFound, NotDownloadable, SourceUnavailable
from satchel.testing.host import MemoryHost
from tests.unit.mail.graph.scripted import Script, ScriptedServer, Setting, listed, read

DATA = bytes(range(256)) * 4
FACT = ContentFact(len(DATA), hashlib.sha256(DATA).hexdigest())
OTHER = b"?" * len(DATA)
KEY = content_key(listed(DATA))
SMALL = ContentOptions(buffer_bytes=100)

TOLD = Script(DATA, tells_length=True)
RANGED = Script(DATA, tells_length=True, ranges=True)
UNTOLD = Script(DATA)


def setting(*scripts: Script, fact: ContentFact | None = None, **given: Any) -> Setting:
    made = Setting(ScriptedServer(list(scripts)), listed(DATA), fact=fact, **given)
    if fact is not None:
        made.host.facts[KEY] = fact
    return made


async def fails(made: Setting, start: int = 0) -> bytes:
    """What was given before an unavailability of the source."""
    content = await made.content().open()
    given: list[bytes] = []
    with pytest.raises(SourceUnavailable):
        await _take(content, start, given)
    await content.aclose()
    assert made.server.open_bodies == 0
    assert made.streams.held_bytes == 0
    return b"".join(given)


async def _take(content: GraphContent, start: int, given: list[bytes]) -> None:
    async for piece in content.chunks(start):
        given.append(piece)  # noqa: PERF401 - what came before a failure counts


@pytest.mark.parametrize("script", [TOLD, RANGED])
async def test_the_server_s_own_length(script: Script) -> None:
    made = setting(script)
    content = await made.content().open()
    assert (content.size, content.sha256, content.attachment.size) == (len(DATA), None, len(DATA))
    assert await read(content) == DATA
    await content.aclose()
    assert (made.server.asked, made.server.open_bodies) == (["bytes=0-"], 0)
    assert made.host.facts == {KEY: FACT}
    assert content.sha256 == FACT.sha256


async def test_a_small_body_is_held_and_read_twice_to_learn_its_length() -> None:
    made = setting(UNTOLD)
    content = await made.content().open()
    assert (content.size, content.sha256) == (len(DATA), FACT.sha256)
    assert made.streams.held_bytes == len(DATA)
    assert made.server.asked == ["bytes=0-", "bytes=0-"]
    for start, stop in [(0, None), (0, len(DATA)), (5, 9), (1000, 1024), (7, None), (1024, None)]:
        assert await read(content, start, stop) == DATA[start:stop]
    assert len(made.server.asked) == 2
    await content.aclose()
    assert (made.streams.held_bytes, made.server.open_bodies) == (0, 0)


async def test_a_remembered_length_needs_no_request() -> None:
    made = setting(UNTOLD, fact=FACT)
    content = await made.content().open()
    assert (content.size, content.sha256, content.etag) == (len(DATA), FACT.sha256, KEY)
    await content.aclose()
    assert made.server.asked == []


async def test_a_remembered_length_is_held_against_what_comes() -> None:
    made = setting(UNTOLD, fact=FACT)
    made.host.facts.clear()
    assert await read(await made.content().open()) == DATA
    # Nothing new, so nothing is written down.
    assert (made.host.facts, made.server.asked) == ({}, ["bytes=0-"])


@pytest.mark.parametrize(
    "script",
    [
        Script(DATA + b"more"),
        Script(DATA[:-1], tells_length=True),
        Script(DATA + b"more", tells_length=True),
        Script(DATA + b"more", ranges=True),
        Script(OTHER),
        Script(DATA[:-1] + b"?"),
        Script(DATA[:-1]),
    ],
)
async def test_a_remembered_length_that_proves_wrong_is_forgotten(script: Script) -> None:
    made = setting(script, fact=FACT)
    given = await fails(made)
    assert len(given) <= len(DATA)
    assert made.host.facts == {}
    made.fact = None
    assert await read(await made.content().open()) == script.data


async def test_a_fact_outlives_a_server_that_cannot_be_reached() -> None:
    made = setting(Script(DATA, refuses=None), fact=FACT)
    await fails(made)
    assert made.host.facts == {KEY: FACT}


async def test_a_large_body_of_unknown_length_is_not_held() -> None:
    made = setting(UNTOLD, options=SMALL)
    content = await made.content().open()
    assert (content.size, content.sha256, made.streams.held_bytes) == (None, None, 0)
    assert content.attachment.size == len(DATA) + 237
    assert await read(content) == DATA
    assert content.sha256 == FACT.sha256
    assert made.host.facts == {KEY: FACT}


async def test_a_body_that_turns_out_to_be_large_goes_on_from_what_was_held() -> None:
    made = setting(UNTOLD, options=SMALL)
    made.attachment = listed(DATA, store_bytes=150)
    content = await made.content().open()
    assert content.size is None
    assert 0 < made.streams.held_bytes <= 100
    assert await read(content) == DATA
    await content.aclose()
    assert (made.streams.held_bytes, made.server.open_bodies, len(made.server.asked)) == (0, 0, 2)


async def test_the_memory_for_learning_lengths_is_shared() -> None:
    made = setting(UNTOLD)
    made.streams.budget_bytes = 1500
    first, second = await made.content().open(), await made.content().open()
    assert (first.size, second.size) == (len(DATA), None)
    assert await read(second) == DATA
    await second.aclose()
    assert made.streams.held_bytes == len(DATA)
    await first.aclose()
    assert made.streams.held_bytes == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (5, 10), (100, None), (1023, 1024), (0, None), (1024, None)])
@pytest.mark.parametrize("fact", [None, FACT])
@pytest.mark.parametrize("script", [TOLD, RANGED])
async def test_ranges(script: Script, fact: ContentFact | None, start: int, stop: int | None) -> None:
    made = setting(script, fact=fact)
    content = await made.content().open()
    assert await read(content, start, stop) == DATA[start:stop]
    await content.aclose()
    assert made.server.open_bodies == 0


async def test_a_range_is_not_read_from_the_start_where_the_server_knows_ranges() -> None:
    made = setting(RANGED, fact=FACT)
    assert await read(await made.content().open(), 1000) == DATA[1000:]
    assert made.server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("said", ["bytes 4-1023/1024", "bytes 5-1022/1024", "bytes 5-1023/*", "nonsense"])
async def test_a_part_that_is_not_the_one_asked_for_is_not_believed(said: str) -> None:
    made = setting(replace(RANGED, content_range=said), TOLD, fact=FACT)
    assert await read(await made.content().open(), 5) == DATA[5:]
    assert made.server.asked == ["bytes=5-", None]
    assert made.server.open_bodies == 0


@pytest.mark.parametrize("script", [Script(b""), Script(b"", ranges=True), Script(b"", tells_length=True)])
async def test_an_empty_file(script: Script) -> None:
    made = setting(script)
    content = await made.content().open()
    assert (content.size, await read(content)) == (0, b"")
    await content.aclose()


BROKEN_AT = [0, 1, 7, 500, 1023]


@pytest.mark.parametrize("gives", BROKEN_AT)
@pytest.mark.parametrize("script", [TOLD, RANGED, UNTOLD])
@pytest.mark.parametrize("ends", ["broken", "clean", "not shown"])
@pytest.mark.parametrize("buffer_bytes", [100, 4096])
async def test_a_broken_body_is_taken_up_again(script: Script, gives: int, ends: str, buffer_bytes: int) -> None:
    broken = replace(script, gives=gives, ends=ends)
    made = setting(broken, script, options=ContentOptions(buffer_bytes=buffer_bytes))
    content = await made.content().open()
    assert await read(content) == DATA
    await content.aclose()
    assert made.host.facts == {KEY: FACT}
    assert (made.streams.healed_streams, made.streams.failed_heals) == (1, 0)
    assert (made.server.open_bodies, made.streams.held_bytes) == (0, 0)


async def test_a_break_after_the_last_byte_needs_no_other_body() -> None:
    made = setting(replace(UNTOLD, ends="broken"), fact=FACT)
    assert await read(await made.content().open()) == DATA
    assert (len(made.server.asked), made.streams.healed_streams) == (1, 0)


@pytest.mark.parametrize("start", [0, 100])
@pytest.mark.parametrize("script", [TOLD, RANGED])
async def test_other_bytes_after_a_break_are_not_given(script: Script, start: int) -> None:
    changed = replace(script, data=b"?" + DATA[1:200] + b"?" + DATA[201:])
    made = setting(replace(script, gives=250), changed, fact=FACT)
    given = await fails(made, start)
    assert DATA[start:].startswith(given)
    assert given
    assert (made.streams.healed_streams, made.streams.failed_heals) == (0, 1)


async def test_another_length_after_a_break_is_not_gone_on_with() -> None:
    made = setting(replace(TOLD, gives=300), Script(DATA + b"?", tells_length=True))
    assert DATA.startswith(await fails(made))


@pytest.mark.parametrize("attempts", [1, 3])
async def test_attempts_are_bounded_and_further_apart_each_time(attempts: int) -> None:
    made = setting(replace(TOLD, gives=10), options=ContentOptions(heal_attempts=attempts))
    assert await fails(made) == DATA[:10]
    assert len(made.server.asked) == 1 + attempts
    assert made.waits.seconds == sorted(set(made.waits.seconds))
    assert len(made.waits.seconds) == attempts
    assert (made.streams.healed_streams, made.streams.failed_heals) == (0, 1)


async def test_healing_can_be_off() -> None:
    made = setting(replace(TOLD, gives=10), TOLD, options=ContentOptions(heal_attempts=0))
    assert await fails(made) == DATA[:10]
    assert (made.server.asked, made.waits.seconds, made.streams.failed_heals) == (["bytes=0-"], [], 0)


async def test_with_healing_off_an_end_is_still_confirmed() -> None:
    off = ContentOptions(heal_attempts=0, buffer_bytes=0)
    made = setting(UNTOLD, options=off)
    assert await read(await made.content().open()) == DATA
    assert len(made.server.asked) == 2
    await fails(setting(replace(UNTOLD, gives=10), UNTOLD, options=off))


async def test_ends_need_not_be_confirmed() -> None:
    trusting = ContentOptions(confirm_ends=False)
    made = setting(UNTOLD, options=trusting)
    assert (await made.content().open()).size == len(DATA)
    assert len(made.server.asked) == 1
    # One without any sign of its end is not believed even so.
    with pytest.raises(SourceUnavailable):
        await setting(replace(UNTOLD, ends="not shown"), options=trusting).content().open()


async def test_an_end_far_from_the_size_in_the_store_is_not_believed_even_twice() -> None:
    made = setting(replace(UNTOLD, gives=600), options=SMALL)
    made.attachment = listed(DATA, store_bytes=200_000)
    assert await fails(made) == DATA[:600]


async def test_a_server_that_ends_elsewhere_each_time_is_not_asked_for_ever() -> None:
    made = setting(*(replace(UNTOLD, gives=gives) for gives in range(10, 900, 10)), options=SMALL)
    given = await fails(made)
    assert DATA.startswith(given)
    assert len(made.server.asked) == 2 + made.options.heal_attempts


async def test_bodies_that_end_before_what_was_given_do_not_confirm_each_other() -> None:
    short = replace(UNTOLD, gives=300)
    made = setting(replace(UNTOLD, gives=500, ends="broken"), short, short, UNTOLD, options=SMALL)
    assert await read(await made.content().open()) == DATA


async def test_a_wait_that_the_server_asked_for_is_kept() -> None:
    made = setting(replace(TOLD, gives=10), TOLD)
    stream, asked = made.server.stream, 0

    async def throttled(path: str, **given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise SourceUnavailable("throttled", retry_after_seconds=7.0, upstream_status=429)
        return await stream(path, **given)

    made.server.stream = throttled  # type: ignore[method-assign]
    assert await read(await made.content().open()) == DATA
    assert made.waits.seconds[1] == 7.0


@pytest.mark.parametrize(
    ("status", "error"), [(404, AttachmentNotFound), (405, NotDownloadable), (403, SourceUnavailable)]
)
async def test_refusals(status: int, error: type[Exception]) -> None:
    made = setting(Script(DATA, refuses=status))
    with pytest.raises(error):
        await made.content().open()


async def test_an_attachment_that_goes_while_it_is_read() -> None:
    content = await setting(replace(TOLD, gives=10), Script(DATA, refuses=404)).content().open()
    with pytest.raises(AttachmentNotFound):
        await read(content)


async def test_a_reader_that_leaves_early_closes_the_body() -> None:
    made = setting(UNTOLD, fact=FACT)
    content = await made.content().open()
    chunks = content.chunks()
    assert await anext(chunks) == DATA[:7]
    await chunks.aclose()
    await content.aclose()
    assert made.server.open_bodies == 0


async def test_a_host_that_cannot_remember_spoils_nothing() -> None:
    class Forgetful(MemoryHost):
        async def remember_content(self, key: str, fact: ContentFact | None) -> None:
            raise OSError

    made = setting(TOLD, host=Forgetful())
    assert await read(await made.content().open()) == DATA


def test_the_key_is_stable_and_another_for_another_version() -> None:
    attachment = listed(DATA)
    assert content_key(attachment) == "4a15b803c85cd6c86a09f8a2e605d60a"
    others = [
        msgspec.structs.replace(attachment, id="X"),
        msgspec.structs.replace(attachment, size=attachment.size + 1),
        msgspec.structs.replace(attachment, last_modified=datetime(2026, 1, 3, tzinfo=UTC)),
        msgspec.structs.replace(attachment, last_modified=None),
    ]
    assert len({content_key(each) for each in (attachment, *others)}) == 5
    assert content_key(msgspec.structs.replace(attachment, name="renamed", is_inline=True)) == content_key(attachment)


def test_what_changed_is_transient() -> None:
    assert ContentChanged("").transient
