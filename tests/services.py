"""Programs that some tests need and a machine may not have: such a test skips, or fails where all are required."""

import os
import shutil

import pytest


def need(program: str, install: str) -> str:
    """The program's path; without it the test skips, saying what to install, or fails where services are required."""
    found = shutil.which(program)
    if found is not None:
        return found
    message = f"{program} is not on this machine: {install}"
    if os.environ.get("SATCHEL_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def need_curl() -> str:
    """curl's path, as `need` has it."""
    return need("curl", "install Debian's package curl")
