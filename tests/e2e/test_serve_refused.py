"""What cannot be started with ends a program with one line of advice."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("program", ["gateway", "collector"])
def test_a_port_that_is_taken(tmp_path: Path, program: str) -> None:
    (tmp_path / "mail").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "satchel.toml"
        config.write_text(f'[gateway]\nlisten_port = {port}\n[collector]\nlisten_port = {port}\napi_key = "k"\n')
        command = [sys.executable, "-m", "satchel", program, "serve", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.splitlines()[-1].startswith(f"satchel: Cannot listen on 127.0.0.1, port {port}: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("options", [(), ("--api-only",)])
def test_a_redis_that_is_none(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "mail").mkdir()
    config = tmp_path / "satchel.toml"
    config.write_text('[gateway]\nlisten_port = 0\nlimits.redis_url = "http://:pa55@cache.example"\n')
    command = [sys.executable, "-m", "satchel", "gateway", "serve", *options, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.splitlines()[-1].startswith("satchel: [gateway] limits.redis_url: found a value that is not shown")
    assert "Traceback" not in said
    assert "pa55" not in said
