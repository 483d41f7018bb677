"""`satchel demo --once`: the whole way by one command, and what it says when it cannot."""

import subprocess
import sys
from pathlib import Path

from satchel.testing.mail import sample_messages
from tests.e2e.observe import digest


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "satchel", "demo", "--once", "--dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_the_whole_way_by_one_command(tmp_path: Path) -> None:
    done = demo(tmp_path / "play")
    assert done.returncode == 0, done.stderr
    wanted = {
        attachment.sha256
        for message in sample_messages()
        for attachment in message.expected
        if attachment.attachment_type == "fileAttachment" and not attachment.is_inline
    }
    files = [path for path in (tmp_path / "play/files").glob("??/*") if path.suffix != ".json"]
    assert {digest(path) for path in files} == wanted
    for sha256 in wanted:
        assert sha256 in done.stdout
    assert "curl -OJ" in done.stdout


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
