"""Bodies that break anywhere, any number of times, with right bytes or others: one whole file, or an error."""

import asyncio
import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from satchel.mail.graph.options import ContentOptions
from satchel.mail.host import ContentFact
from satchel.mail.source import SourceError
from tests.unit.mail.graph.scripted import Script, ScriptedServer, Setting, listed

RIGHT = b"".join(number.to_bytes(2, "big") for number in range(300))
OTHER = bytes(255 - byte for byte in RIGHT)
FACT = ContentFact(len(RIGHT), hashlib.sha256(RIGHT).hexdigest())
OPTIONS = st.builds(ContentOptions, heal_attempts=st.integers(0, 4), buffer_bytes=st.sampled_from([0, 300, 4096]))
WHOLE = Script(RIGHT)


def bodies(**fixed: st.SearchStrategy[object]) -> st.SearchStrategy[Script]:
    kinds: dict[str, st.SearchStrategy[object]] = {
        "data": st.sampled_from([RIGHT, RIGHT, OTHER]),
        "gives": st.none() | st.integers(0, len(RIGHT) - 1),
        "ends": st.sampled_from(["clean", "broken", "not shown"]),
        "ranges": st.booleans(),
        "tells_length": st.booleans(),
        "refuses": st.sampled_from([200, 200, 200, None, 416, 503]),
    }
    return st.builds(Script, **(kinds | fixed))  # type: ignore[arg-type]


def outcome(made: Setting, start: int = 0, stop: int | None = None) -> tuple[bytes, bool]:
    """What a reader was given, and whether as a whole."""

    async def fetch() -> tuple[bytes, bool]:
        try:
            content = await made.content().open()
        except SourceError:
            return b"", False
        size = content.size
        received = b""
        try:
            async for piece in content.chunks(start, stop):
                received += piece
        except SourceError:
            return received, False
        finally:
            await content.aclose()
        assert size is None or stop is not None or start + len(received) == size
        return received, True

    result = asyncio.run(fetch())
    assert (made.server.open_bodies, made.streams.held_bytes) == (0, 0)
    assert len(made.server.asked) <= 2 * (made.options.heal_attempts + 2)
    return result


@given(st.lists(bodies(), min_size=1, max_size=6), OPTIONS, st.integers(1, 700))
def test_with_an_earlier_read_to_hold_it_against(
    scripts: list[Script], options: ContentOptions, piece_bytes: int
) -> None:
    made = Setting(ScriptedServer(scripts, piece_bytes), listed(RIGHT), options, fact=FACT)
    received, is_whole = outcome(made)
    if is_whole:
        assert received == RIGHT
    assert len(received) <= len(RIGHT)


@given(st.lists(bodies(tells_length=st.just(True)), min_size=1, max_size=6), OPTIONS, st.integers(1, 700))
def test_with_the_server_s_length_nothing_is_short_or_mixed(
    scripts: list[Script], options: ContentOptions, piece_bytes: int
) -> None:
    made = Setting(ScriptedServer(scripts, piece_bytes), listed(RIGHT), options)
    received, is_whole = outcome(made)
    assert received in {RIGHT, OTHER} if is_whole else is_prefix(received)


@given(
    # Two bodies in a row that end well at the same wrong byte cannot be told from a whole one.
    st.lists(
        bodies(ranges=st.just(False), tells_length=st.just(False)),
        max_size=5,
        unique_by=lambda script: script.gives if script.gives is not None else object(),
    ),
    OPTIONS,
    st.integers(1, 700),
)
def test_without_any_length_nothing_is_short_or_mixed(
    scripts: list[Script], options: ContentOptions, piece_bytes: int
) -> None:
    made = Setting(ScriptedServer([*scripts, WHOLE], piece_bytes), listed(RIGHT), options)
    received, is_whole = outcome(made)
    assert received in {RIGHT, OTHER} if is_whole else is_prefix(received)


@given(
    st.lists(bodies(), min_size=1, max_size=6),
    OPTIONS,
    st.integers(0, len(RIGHT)),
    st.integers(0, len(RIGHT)),
    st.integers(1, 700),
)
def test_parts(scripts: list[Script], options: ContentOptions, start: int, length: int, piece_bytes: int) -> None:
    stop = min(len(RIGHT), start + length)
    made = Setting(ScriptedServer(scripts, piece_bytes), listed(RIGHT), options, fact=FACT)
    received, is_whole = outcome(made, start, stop)
    expected = {data[start:stop] for data in (RIGHT, OTHER)}
    if is_whole:
        assert received in expected
    else:
        assert any(part.startswith(received) for part in expected)


@given(st.lists(bodies(data=st.just(RIGHT)), min_size=0, max_size=3), st.booleans(), st.integers(1, 700))
def test_what_the_attempts_suffice_for_is_healed(scripts: list[Script], is_known: bool, piece_bytes: int) -> None:
    broken = [replace(each, gives=each.gives or 0, ends="broken", refuses=200, ranges=False) for each in scripts]
    made = Setting(ScriptedServer([*broken, WHOLE], piece_bytes), listed(RIGHT), fact=FACT if is_known else None)
    assert outcome(made) == (RIGHT, True)
    assert made.streams.healed_streams == bool(broken)


def is_prefix(received: bytes) -> bool:
    return RIGHT.startswith(received) or OTHER.startswith(received)
