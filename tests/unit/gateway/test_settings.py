"""What the gateway's own settings refuse."""

from pathlib import Path

import pytest

from satchel.gateway.settings import GatewaySettings
from satchel.settings import SettingsError


@pytest.mark.parametrize("pauses", ["[-1]", "[5, inf]", "[nan]", "[1e9]", "[1, 2, 3]"])
def test_pauses_that_a_delivery_could_never_keep(tmp_path: Path, pauses: str) -> None:
    file = tmp_path / "satchel.toml"
    file.write_text(f"[gateway.webhooks]\nretry_seconds = {pauses}\n", "utf-8")
    with pytest.raises(SettingsError, match=r"satchel\.toml: \[gateway\] webhooks\.retry_seconds: found"):
        GatewaySettings.load(file)
