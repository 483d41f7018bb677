"""Time in these tests is the event loop's own: none of them waits."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.unit.mail.graph.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}
