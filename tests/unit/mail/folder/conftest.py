"""Messages in mailboxes of a folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from satchel.mail.folder.source import FolderSource
from satchel.mail.source import MessageRef


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    return folder


@pytest.fixture
async def source(root: Path) -> AsyncIterator[FolderSource]:
    opened = FolderSource(root, settle_seconds=0.0)
    yield opened
    await opened.aclose()


@pytest.fixture
def messages(source: FolderSource) -> Callable[[], Awaitable[list[MessageRef]]]:
    """A function that returns all messages of the source."""

    async def all_messages() -> list[MessageRef]:
        found: list[MessageRef] = []
        async with aclosing(source.watch()) as batches:
            async for batch in batches:
                found.extend(batch.messages)
                if batch.ends_first_pass:
                    break
        return found

    return all_messages
