"""Takes the log records of DBOS and hands warnings and errors on to the program's own log."""

import logging

from structlog.typing import FilteringBoundLogger


class ForwardingHandler(logging.Handler):
    """Passes a record on as an event: where it was logged, and of an exception only the class.

    The text is passed on only as the template of its arguments. DBOS formats most of its texts itself; those may hold
    the message of an exception or its traceback, so that their place has to do.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def filter(self, record: logging.LogRecord) -> bool:
        # At every shutdown DBOS warns of each task that is cancelled, which is what shutdown does.
        return not record.getMessage().startswith("Asyncio task cancelled") and super().filter(record) is not False

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        self._log.log(
            record.levelno,
            "durable_engine_says",
            text=str(record.msg) if record.args else None,
            where=f"{record.filename}:{record.lineno}",
            error=error.__name__ if error is not None else None,
        )


def forwarded_logs(log: FilteringBoundLogger) -> None:
    """Replace the console output of DBOS; calling it again changes nothing more."""
    logger = logging.getLogger("dbos")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.addHandler(ForwardingHandler(log))
    logger.propagate = False
