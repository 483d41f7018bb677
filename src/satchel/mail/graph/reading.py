"""Reads an attachment from the mail server to its end, over as many bodies as that takes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from satchel.mail.graph.body import EndNotShown
from satchel.mail.graph.digests import RunningDigest
from satchel.mail.graph.healing import ContentChanged, Course, End, Given, Replay, Verdict
from satchel.mail.graph.opening import BodyOpener, OpenedBody
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.source import SourceUnavailable

_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 30.0


@dataclass(slots=True)
class Transcript:
    """The bytes that a reader has been given, from `start` to `end`."""

    start: int
    end: int
    digest: RunningDigest

    async def add(self, piece: bytes) -> None:
        self.end += len(piece)
        await self.digest.add(piece)

    async def given(self) -> Given:
        return Given(self.start, self.end, await self.digest.hexadecimal())


async def read_whole(
    opener: BodyOpener,
    course: Course,
    transcript: Transcript,
    streams: ContentStreams,
    *,
    stop: int | None = None,
    first: OpenedBody | None = None,
) -> AsyncGenerator[bytes]:
    """The bytes from the transcript's start to `stop`, or to the end; each is in the transcript when it is given.

    `first` is a body that is open already. Raises SourceError; ContentChanged where what comes contradicts what has
    been given or is known. Its end means that all bytes were right as far as anybody can know.
    """
    try:
        tries = 0
        while True:
            failure: SourceUnavailable | None = None
            end = End.CLEAN
            replay = Replay(await transcript.given(), 0)
            try:
                opened, first = first or await opener.open(transcript.start), None
                replay.position = opened.position
                async with aclosing(_new_pieces(opened, course, replay)) as pieces:
                    async for piece in pieces:
                        given = piece if stop is None else piece[: stop - transcript.end]
                        await transcript.add(given)
                        yield given
                        if stop is not None and transcript.end == stop != course.size:
                            return
            except ContentChanged:
                raise
            except SourceUnavailable as error:
                failure = error
                end = End.NOT_SHOWN if isinstance(error, EndNotShown) else End.BROKEN
            verdict = course.after(end, reached=replay.position, given_end=transcript.end)
            if verdict is Verdict.WHOLE:
                streams.healed_streams += course.has_healed
                return
            if verdict is Verdict.GIVE_UP:
                raise failure or ContentChanged("The mail server ends the file at another byte than before.")
            if verdict is Verdict.AGAIN:
                await streams.sleep(_wait_seconds(tries, streams.jitter(), failure))
                tries += 1
    except SourceUnavailable:
        streams.failed_heals += course.has_healed
        raise


async def _new_pieces(opened: OpenedBody, course: Course, replay: Replay) -> AsyncGenerator[bytes]:
    """What one body has beyond what was given; the body is closed in any case."""
    try:
        course.note_size(opened.size)
        async for piece in opened.body.chunks():
            new = replay.take(piece)
            if course.size is not None and replay.position > course.size:
                raise ContentChanged("The mail server gives more bytes than the file has.")
            if new:
                yield new
    finally:
        await opened.body.aclose()


def _wait_seconds(tries: int, jitter: float, failure: SourceUnavailable | None) -> float:
    """At least as long as the server asked for, within bounds; longer each time, and not the same for all."""
    asked = failure.retry_after_seconds or 0.0 if failure is not None else 0.0
    own = _FIRST_WAIT_SECONDS * 2**tries * (0.5 + jitter / 2)
    return float(min(_LONGEST_WAIT_SECONDS, max(own, asked)))
