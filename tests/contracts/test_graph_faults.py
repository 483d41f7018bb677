"""Faults of Graph in random mixtures: a message and its files come right, or with an error that says whether to try
again; never is a wrong or short file given out as a whole one.

The mixtures are the same in each run. SATCHEL_TEST_GRAPH_FAULTS sets how many there are (40), and draws new ones; a
failing one is printed with its seed.
"""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import hypothesis.strategies as st
from hypothesis import given, note, settings

from satchel.contract.attachments import Attachment
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.options import ArrivalOptions, CallOptions, ContentOptions, GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.source import MessageRef, SourceError, SourceUnavailable
from satchel.testing.content import Content, Generated, Given
from satchel.testing.graph import ARCHIVE, Faults, GraphSimulator, When
from satchel.testing.host import MemoryHost
from satchel.testing.mail import SampleMessage, file_part, message, text_part

WANTED = os.environ.get("SATCHEL_TEST_GRAPH_FAULTS")
MIXTURES = int(WANTED or "40")
MAILBOX = "invoices@example.test"
# Large enough that two bodies cut at random places are not cut at the same one.
CONTENTS: dict[str, Content] = {
    "a.pdf": Generated(150_000, 1),
    "b.bin": Generated(700_000, 2),
    "c.txt": Given(b"small"),
}
OTHER_BYTES = bytes(255 - code for code in range(256))
READ_TIMEOUT_SECONDS = 0.15


def sample() -> SampleMessage:
    parts = [file_part(name, "application/pdf", content) for name, content in CONTENTS.items()]
    return message("faults", "Files", [text_part("Here they are."), *parts])


def digests(content: Content) -> frozenset[str]:
    """Of the file, and of the one that takes its place where a fault says so; a mixture of the two has neither."""
    data = b"".join(content.pieces(0, content.size))
    return frozenset(hashlib.sha256(each).hexdigest() for each in (data, data.translate(OTHER_BYTES)))


EXPECTED = {name: digests(content) for name, content in CONTENTS.items()}

often = st.sampled_from([0.1, 0.3, 0.6, 1.0])
times = st.sampled_from([1, 2, 5])


def whens(most_times: int | None = None) -> st.SearchStrategy[When]:
    """Never, some, or the next few."""
    bound = times if most_times is None else st.integers(1, most_times)
    return st.one_of(st.just(When()), st.builds(When, often, bound), st.builds(When, st.sampled_from([0.1, 0.3])))


@st.composite
def mixtures(draw: st.DrawFn) -> Faults:
    """Anything at once. What costs time happens seldom; a body is not always cut at one place, since a server that
    tells the same lie twice cannot be found out."""
    faults = Faults(retry_after_seconds=0, timeout_after_seconds=0.01)
    for name in ("throttle", "throttle_silently", "unavailable", "gateway_timeout", "refuse_token", "hang_up"):
        setattr(faults, name, draw(whens()))
    for name in ("gateway_page", "wrong_inline_flag", "change_attachment_ids", "change_on_reopen", "reset"):
        setattr(faults, name, draw(whens()))
    faults.stall = draw(st.one_of(st.just(When()), st.builds(When, often, st.integers(1, 2))))
    faults.reset_after_bytes = draw(st.sampled_from([None, 0, 1, 100_000]))
    faults.stall_after_bytes = draw(st.sampled_from([None, 0, 100_000]))
    faults.short_after_bytes = draw(st.sampled_from([None, 0, 100_000]))
    faults.short = draw(whens() if faults.short_after_bytes is None else st.builds(When, often, st.just(1)))
    faults.framing = draw(st.sampled_from(["length", "chunked", "close"]))
    faults.timeout_over_bytes = draw(st.sampled_from([None, None, 500_000]))
    faults.inflated_size_factor = draw(st.sampled_from([1.0, 1.5, 3.0]))
    faults.attachments_per_page = draw(st.sampled_from([1, 2, 100]))
    faults.placeholder_seconds = draw(st.sampled_from([0.0, 0.0, 0.0, 60.0]))
    faults.unknown_for_seconds = draw(st.sampled_from([0.0, 0.0, 0.02]))
    return faults


class FixedTokens:
    """As good as any until it is refused."""

    def __init__(self, simulator: GraphSimulator) -> None:
        self._simulator = simulator
        self._token: str | None = None

    async def token(self) -> str:
        if self._token is None:
            self._token = self._new()
        return self._token

    async def renewed(self, stale: str) -> str:
        if self._token == stale:
            self._token = self._new()
        return await self.token()

    async def aclose(self) -> None:
        pass

    def _new(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._simulator.client_id,
            "client_secret": self._simulator.client_secret,
            "scope": f"{self._simulator.base_url}/.default",
        }
        token: str = self._simulator.world.tokens.grant(self._simulator.tenant_id, form)["access_token"]
        return token


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def graph_source(simulator: GraphSimulator) -> GraphSource:
    """One that does not wait long for anything."""
    calls = CallOptions(base_url=simulator.base_url, patience_seconds=2.0, read_timeout_seconds=READ_TIMEOUT_SECONDS)
    options = GraphOptions((MAILBOX,), calls, ContentOptions(), ArrivalOptions())
    tokens = FixedTokens(simulator)
    http = GraphHttp(calls, tokens, jitter=lambda: 0.0)
    return GraphSource(options, tokens, MemoryHost(), http=http, streams=ContentStreams(sleep=at_once))


async def read(source: GraphSource, ref: MessageRef, attachment: Attachment) -> str:
    """The digest of a file that was given out as whole."""
    content = await source.open(ref, attachment.id)
    digest, count = hashlib.sha256(), 0
    try:
        async for piece in content.chunks():
            digest.update(piece)
            count += len(piece)
        assert content.size in {None, count}, "another length than was told"
    finally:
        await content.aclose()
    return digest.hexdigest()


@contextmanager
def told(seen: Counter[str], what: str) -> Iterator[None]:
    """What fails in the block has to be an error of the port; anything else is a defect."""
    try:
        yield
        seen[f"{what} right"] += 1
    except SourceUnavailable:
        seen[f"{what} transient"] += 1
    except SourceError:
        seen[f"{what} permanent"] += 1


async def once(seed: int, faults: Faults, moves: str | None, seen: Counter[str]) -> None:
    async with GraphSimulator(tls=False, seed=seed) as simulator:
        message_id = simulator.deliver(MAILBOX, sample())
        simulator.faults = faults
        source = graph_source(simulator)
        ref = MessageRef(MAILBOX, message_id, message_id)
        listed: list[Attachment] = []
        try:
            with told(seen, "describe"):
                summary = await source.describe(ref)
                assert (summary.subject, summary.ref.mailbox) == ("Files", MAILBOX)
                ref = summary.ref
            if moves is not None:
                simulator.move(MAILBOX, message_id, moves)
            with told(seen, "list"):
                listed = list(await source.list(ref))
                assert [each.name for each in listed] == list(CONTENTS)
            for attachment in listed:
                with told(seen, "file"):
                    assert await read(source, ref, attachment) in EXPECTED[attachment.name], attachment.name
        finally:
            await source.aclose()


def test_mixtures_of_faults_give_right_files_or_errors() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=MIXTURES, deadline=None, derandomize=WANTED is None, print_blob=True, database=None)
    @given(st.integers(0, 2**31), mixtures(), st.sampled_from([None, None, "drafts", ARCHIVE]))
    def mixture(seed: int, faults: Faults, moves: str | None) -> None:
        note(f"seed {seed}, moved to {moves}, {faults}")
        asyncio.run(once(seed, faults, moves, seen))

    mixture()
    print(dict(seen))
    # So that nobody passes by refusing everything, or by never meeting a fault. About half of the files come whole.
    assert seen["file right"] > MIXTURES / 4
    assert seen["file transient"] > MIXTURES / 10


def test_without_faults_everything_is_right() -> None:
    seen: Counter[str] = Counter()
    asyncio.run(once(1, Faults(), None, seen))
    assert seen == {"describe right": 1, "list right": 1, "file right": len(CONTENTS)}


def test_what_never_ends_well_is_an_error() -> None:
    faults = Faults(reset=When(1.0), framing="chunked")
    seen: Counter[str] = Counter()
    asyncio.run(once(1, faults, None, seen))
    assert seen["file transient"] >= 2
