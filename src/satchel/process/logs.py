"""Sets up the log of the process: structlog, one event per line on stderr, and uvicorn's own lines in the same form."""

import logging
import sys
from typing import Literal

import structlog
from pydantic import Field
from structlog.typing import Processor

from satchel.settings import SettingsTable


class LogSettings(SettingsTable):
    """What the log says and how. It never holds content, names, addresses or secrets."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )
    format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people.")


class _Forward(logging.Handler):
    """Hands records of the standard library on: their text, and of an exception only its class."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger(record.name).log(record.levelno, "server_says", text=record.getMessage(), error=error)


def configure_logs(settings: LogSettings) -> None:
    """Replace the process's logging configuration."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    last: Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
