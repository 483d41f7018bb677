"""The log of the process never holds a value of what failed."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from satchel.process.logs import LogSettings, configure_logs

SECRET = "ann@example.test"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def fail(value: str) -> None:
    raise ValueError(value)


async def failing_task() -> None:
    fail(SECRET)


async def test_what_failed_in_the_background_is_named_without_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, SECRET)
    task = asyncio.create_task(failing_task())
    await asyncio.wait({task})
    del task
    gc.collect()
    logged = capsys.readouterr().err
    assert SECRET not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [(line["error"], line["where"].partition(":")[0]) for line in lines] == [("ValueError", "test_logs.py")] * 2
