"""The text of a message as Graph gives it, also where it does not do as it was asked."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from satchel.mail.body_text import tidied
from satchel.mail.graph.errors import TooLarge
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.text import read_text
from satchel.mail.source import BrokenMessage


class Answers:
    """A `GraphHttp` with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[dict[str, str], Sequence[str]]] = []

    async def get(self, path: str, *, as_: Any, params: dict[str, str], prefer: Sequence[str], **_: Any) -> Any:
        self.asked.append((params, prefer))
        if isinstance(self.answer, Exception):
            raise self.answer
        return msgspec.convert(self.answer, as_)


async def text(answer: Any, max_characters: int = 100) -> str | None:
    return await read_text(cast("GraphHttp", Answers(answer)), "a@example.com", "AAMk", max_characters)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"contentType": "text", "content": "One \r\n<two>\r\n\r\n"}, "One\n<two>"),
        ({"contentType": "html", "content": "<p>One<p>&lt;two>"}, "One\n\n<two>"),
        ({"contentType": "text", "content": ""}, None),
        ({"contentType": "html", "content": "<img src=x>"}, None),
        ({"contentType": "text", "content": None}, None),
        ({"content": 7}, None),
        (None, None),
    ],
)
async def test_bodies(body: Any, expected: str | None) -> None:
    assert await text({"body": body}) == expected
    assert await text({"body": body}, 3) == (expected and expected[:3])


async def test_of_a_long_text_no_more_is_read_than_may_be_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def measured(content: str) -> str:
        read.append(len(content))
        return tidied(content)

    monkeypatch.setattr("satchel.mail.graph.text.tidied", measured)
    assert await text({"body": {"contentType": "text", "content": "a\r\n" * 5_000_000}}, 3) == "a\na"
    assert read[0] < 100


async def test_the_mail_server_is_asked_for_plain_text() -> None:
    answers = Answers({"body": {"contentType": "text", "content": "x"}})
    await read_text(cast("GraphHttp", answers), "a@example.com", "AAMk", 10)
    assert answers.asked == [({"$select": "body"}, ['outlook.body-content-type="text"'])]


async def test_more_text_than_anybody_reads_is_not_asked_for_again() -> None:
    with pytest.raises(BrokenMessage) as caught:
        await text(TooLarge("large"))
    assert not caught.value.transient
