"""The log of the process never holds a value of what failed."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from satchel.process.logs import LogSettings, bound, configure_logs

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


def test_libraries_are_quoted_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    logging.getLogger("exporter").warning("cannot reach %s", f"http://{SECRET}/")
    logging.getLogger("exporter").warning(f"cannot reach {SECRET}")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error(OSError(SECRET))
    logged = capsys.readouterr().err
    assert SECRET not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["text"] for line in lines] == ["cannot reach %s", None, "Invalid HTTP request received.", None]
    assert {line["where"].partition(":")[0] for line in lines} == {"test_logs.py"}
    assert lines[0]["library"] == "exporter"


def test_what_is_bound_is_in_every_line_and_gone_behind_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    log = structlog.get_logger()
    with bound(request_id="r-1"):
        with bound(trace_id="t-1"):
            log.info("inner")
        log.info("outer")
    log.info("without")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    seen = [(line["event"], line.get("request_id"), line.get("trace_id")) for line in lines]
    assert seen == [("inner", "r-1", "t-1"), ("outer", "r-1", None), ("without", None, None)]


@pytest.mark.parametrize("value", [ValueError(SECRET), {"at": object()}, 1 << 70, "\ud800", float("nan")])
def test_whatever_is_logged_gives_a_line(capsys: pytest.CaptureFixture[str], value: object) -> None:
    configure_logs(LogSettings())
    structlog.get_logger().info("odd", value=value)
    logged = capsys.readouterr().err
    assert SECRET not in logged
    assert json.loads(logged)["event"] == "odd"
