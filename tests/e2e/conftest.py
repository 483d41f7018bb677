"""Real processes, in a folder of their own, ended with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from satchel.testing.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A prepared gateway and collector without a rate limit; the test starts them."""
    with Stack(tmp_path / "stack", gateway={"rate_limit_per_minute": 0}) as stack:
        stack.folder.mkdir()
        stack.prepare()
        yield stack
