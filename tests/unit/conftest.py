"""Unit tests are pure: no network."""

import logging
from collections.abc import Iterator

import pytest
import pytest_socket
import structlog


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    # An event loop wakes itself through a Unix socket pair; anything else would reach out.
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture
def logs_as_they_were() -> Iterator[None]:
    """Undo what `configure_logs` does: the stream it writes to ends with the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
