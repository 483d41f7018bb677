"""What cannot be started with ends a program with one line of advice."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from satchel.gateway.sealing import new_master_key
from satchel.gateway.store.database import open_database
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from tests.e2e.gateway_process import MAILBOX, MASTER_KEY


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


def test_secrets_that_the_master_key_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    config = tmp_path / "satchel.toml"
    config.write_text("[gateway]\nlisten_port = 0\n")
    engine = open_database(tmp_path / "data" / "gateway")
    add_mailbox(engine, MAILBOX)
    hook = add_webhook(
        engine, NewWebhook("w", "https://example.com/", [MAILBOX], secret="s" * 16), master_key=MASTER_KEY
    )
    engine.dispose()
    command = [sys.executable, "-m", "satchel", "gateway", "serve", "--config", str(config)]
    for key, why in ((None, "There is no master key"), (new_master_key(), "sealed with another master key")):
        environment = {name: value for name, value in os.environ.items() if name != "SATCHEL_MASTER_KEY"}
        environment |= {} if key is None else {"SATCHEL_MASTER_KEY": key}
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
        said = done.stderr.decode()
        assert done.returncode == 1
        last = said.splitlines()[-1]
        assert last.startswith("satchel: The secret of 1 webhook cannot be opened")
        for words in (hook.webhook_id, why, "SATCHEL_MASTER_KEY", "satchel gateway webhooks secret set"):
            assert words in last
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


@pytest.mark.parametrize(("content", "why"), [(None, "cannot be read"), ("no certificate", "holds no certificates")])
def test_authorities_for_webhooks_that_are_none(tmp_path: Path, content: str | None, why: str) -> None:
    (tmp_path / "mail").mkdir()
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    config = tmp_path / "satchel.toml"
    config.write_text('[gateway]\nlisten_port = 0\nwebhooks.ca_file = "ca.pem"\n')
    command = [sys.executable, "-m", "satchel", "gateway", "serve", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.splitlines()[-1].startswith(f"satchel: webhooks.ca_file: {tmp_path / 'ca.pem'} {why}")
    assert "Traceback" not in said
