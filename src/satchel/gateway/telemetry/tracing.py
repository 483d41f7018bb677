"""Opens tracing by the settings; the OpenTelemetry packages are an extra and are looked for only where it is on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from satchel.gateway.settings import TracingSettings
from satchel.gateway.telemetry.spans import Tracing
from satchel.settings import SettingsError


@asynccontextmanager
async def open_tracing(settings: TracingSettings) -> AsyncIterator[Tracing | None]:
    """Tracing by the settings, None where it is off; spans not sent yet are sent at the end. Raises SettingsError."""
    if settings.otlp_endpoint is None:
        yield None
        return
    try:
        from satchel.gateway.telemetry.otel import OtelTracing
    except ModuleNotFoundError:
        raise SettingsError(
            "[gateway] tracing.otlp_endpoint: the OpenTelemetry packages are not installed. "
            "Install them with `pip install 'satchel[otel]'`, or leave the setting out."
        ) from None
    tracing = OtelTracing(settings.otlp_endpoint, settings.sample_ratio)
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)
