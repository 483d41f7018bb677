"""Tracing by the settings, and what is said where its packages are missing."""

import sys

import pytest

from satchel.gateway.settings import TracingSettings
from satchel.gateway.telemetry.tracing import open_tracing
from satchel.settings import SettingsError


async def test_off_by_default_and_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "satchel.gateway.telemetry.otel", None)
    async with open_tracing(TracingSettings()) as tracing:
        assert tracing is None


async def test_missing_packages_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "satchel.gateway.telemetry.otel", None)
    with pytest.raises(SettingsError, match=r"pip install 'satchel\[otel\]'"):
        async with open_tracing(TracingSettings(otlp_endpoint="http://127.0.0.1:4318/v1/traces")):
            raise AssertionError
