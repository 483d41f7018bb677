"""Real processes, in a folder of their own, ended with the test. A test whose processes say too much fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from satchel.testing.stack import Stack
from tests.e2e.leaks import LogSearch


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> LogSearch:
    return LogSearch(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def _nothing_in_the_logs(logs: LogSearch) -> Iterator[None]:
    yield
    leaks = logs.leaks()
    assert not leaks, f"logged and must not be: {leaks[:20]}"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A prepared gateway and collector without a rate limit; the test starts them."""
    with Stack(tmp_path / "stack", gateway={"rate_limit_per_minute": 0}) as stack:
        stack.folder.mkdir()
        stack.prepare()
        yield stack
