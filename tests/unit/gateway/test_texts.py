"""Texts are asked of the source of the message's account."""

import pytest

from satchel.gateway.texts import MessageTexts
from satchel.mail.source import MessageNotFound, SourceError
from tests.unit.gateway.fakes import MemorySource, ref


async def test_each_account_has_its_source() -> None:
    texts = MessageTexts({"a": MemorySource(texts={"m": "from a"}), "b": MemorySource(texts={"m": "from b"})})
    assert await texts.text("b", ref("m"), 100) == "from b"
    assert await texts.text("a", ref("m"), 4) == "from"
    assert await texts.text("a", ref("other"), 4) is None


async def test_trouble_is_the_sources_own_and_an_account_without_one_may_come_back() -> None:
    texts = MessageTexts({"a": MemorySource(failures={"m": MessageNotFound()})})
    with pytest.raises(MessageNotFound):
        await texts.text("a", ref("m"), 100)
    with pytest.raises(SourceError) as caught:
        await texts.text("gone", ref("m"), 100)
    assert caught.value.transient
