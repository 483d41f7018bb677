"""Sets up the log of the process: structlog, one event per line on stderr, and uvicorn's own lines in the same form."""

import logging
import sys
from pathlib import Path
from typing import Literal

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


def _visible(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Foreign ids must not steer the terminal of whoever reads the log; JSON escapes them by itself."""
    return {
        key: value if not isinstance(value, str) or value.isprintable() else repr(value)[1:-1]
        for key, value in event.items()
    }


class _Forward(logging.Handler):
    """Hands records of the standard library on: their text, and of an exception only its class and place."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        # asyncio writes the values that a failed task or callback held into its text.
        text = "a task or callback failed" if record.name == "asyncio" else record.getMessage()
        kind = type(error).__name__ if error is not None else None
        structlog.get_logger(record.name).log(
            record.levelno, "server_says", text=text, error=kind, where=error_place(error)
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
    last: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
