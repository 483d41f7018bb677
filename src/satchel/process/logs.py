"""Sets up the log of the process: structlog, one event per line on stderr, and uvicorn's own lines in the same form."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import structlog
from pydantic import Field
from structlog.typing import EventDict, Processor

from satchel.settings import SettingsTable


class LogSettings(SettingsTable):
    """What the log says and how. It never holds content, names, addresses or secrets."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )
    format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people.")


# One variable for all of it: structlog's own way looks through every variable of the context, for each line.
_BOUND: ContextVar[MappingProxyType[str, str]] = ContextVar("satchel_log", default=MappingProxyType({}))


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Have these values in every line that is logged within the block, also from tasks that begin there."""
    token = _BOUND.set(MappingProxyType({**_BOUND.get(), **values}))
    try:
        yield
    finally:
        _BOUND.reset(token)


def _with_bound(_logger: object, _method: str, event: EventDict) -> EventDict:
    values = _BOUND.get()
    return {**values, **event} if values else event


def _class_name(value: object) -> str:
    """Stands for what is no JSON: never its text, which may hold anything."""
    return type(value).__name__


def _to_json(event: EventDict, **_: Any) -> bytes:
    """One line in ASCII alone: foreign ids must not steer the terminal of whoever reads the log."""
    try:
        line = msgspec.json.encode(event, enc_hook=_class_name)
    except (ValueError, OverflowError, TypeError):
        line = b"\xff"
    return line if line.isascii() else json.dumps(event, default=_class_name, separators=(",", ":")).encode("ascii")


def _visible(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What `_to_json` escapes, for the format that people read."""
    return {
        key: value if not isinstance(value, str) or value.isprintable() else repr(value)[1:-1]
        for key, value in event.items()
    }


class _Forward(logging.Handler):
    """Hands records of libraries on: who said it and where, and of an exception only its class.

    Of the text only the template, since its values may be anything: OpenTelemetry's has the URL that it cannot reach. A
    text without values is left out, as it may have been put together before, but for uvicorn's, whose texts are fixed.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        is_fixed = isinstance(record.msg, str) and (record.args or record.name.startswith("uvicorn"))
        structlog.get_logger(record.name).log(
            record.levelno,
            "library_says",
            library=record.name,
            text=record.msg if is_fixed else None,
            error=type(error).__name__ if error is not None else None,
            where=error_place(error) or f"{record.filename}:{record.lineno}",
        )


def error_place(error: BaseException | None) -> str | None:
    """File and line of the innermost frame: enough to find a defect, without any value."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def configure_logs(settings: LogSettings) -> None:
    """Replace the process's logging configuration."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    is_json = settings.format == "json"
    last: list[Processor] = (
        [structlog.processors.JSONRenderer(serializer=_to_json)]
        if is_json
        else [_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            _with_bound,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=(
            structlog.BytesLoggerFactory(sys.stderr.buffer) if is_json else structlog.WriteLoggerFactory(sys.stderr)
        ),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
