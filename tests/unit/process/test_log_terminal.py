"""What the log makes of ids that others wrote."""

import json
from typing import Literal

import pytest
import structlog

from satchel.process.logs import LogSettings, configure_logs

pytestmark = pytest.mark.usefixtures("logs_as_they_were")


def logged(capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]) -> str:
    configure_logs(LogSettings(format=form))
    structlog.get_logger().info("event_accepted", message_id="a\x1b[2J\u202eb\nforged=1", count=3)
    return capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_foreign_id_steers_no_terminal_and_forges_no_line(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    said = logged(capsys, form)
    assert said.count("\n") == 1
    assert said.rstrip("\n").isprintable()
    assert "event_accepted" in said


def test_json_gives_the_id_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(logged(capsys, "json"))["message_id"] == "a\x1b[2J\u202eb\nforged=1"
