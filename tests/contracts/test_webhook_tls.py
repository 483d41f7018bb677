"""Webhook attempts to receivers with certificates and versions of TLS that are right and wrong."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from satchel.gateway.settings import WebhookSettings
from satchel.gateway.webhooks.decision import Outcome
from satchel.gateway.webhooks.sender import WebhookSender
from satchel.settings import SettingsError
from tests.contracts.webhook_receivers import (
    Receiver,
    answering,
    attempt,
    shake_hands,
    speaking,
    speaking_at_most,
    started,
)

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
OURS = trustme.CA()
UNKNOWN = trustme.CA()


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    OURS.cert_pem.write_to_path(path)
    return path


async def answered(context: ssl.SSLContext, ca_file: Path | None) -> tuple[Outcome, int]:
    """How an attempt ends, and how many requests the receiver got."""
    receiver = Receiver(handler=answering(200))
    runner = await started(receiver, context, host="localhost")
    outcome = await attempt(receiver.url, ca_file=ca_file)
    await runner.cleanup()
    return outcome, len(receiver.requests)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_authority_of_ones_own(ca_file: Path, version: ssl.TLSVersion) -> None:
    assert await answered(speaking_at_most(version, OURS.issue_cert("localhost")), ca_file) == (Outcome(200), 1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_versions_before_1_2_are_refused(ca_file: Path, version: ssl.TLSVersion) -> None:
    # A server that says why, which one of asyncio does not.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handshake = asyncio.create_task(
            asyncio.to_thread(shake_hands, listening, speaking_at_most(version, OURS.issue_cert("localhost")))
        )
        outcome = await attempt(f"https://localhost:{listening.getsockname()[1]}/", ca_file=ca_file)
        assert (outcome, await handshake) == (Outcome(error="tls"), "UNSUPPORTED_PROTOCOL")


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(lambda: UNKNOWN.issue_cert("localhost"), id="of an unknown authority"),
        pytest.param(lambda: OURS.issue_cert("other.example"), id="of another host"),
        pytest.param(lambda: OURS.issue_cert("localhost", not_after=YESTERDAY), id="expired"),
        pytest.param(
            lambda: OURS.issue_cert("localhost", not_before=datetime.now(UTC) + timedelta(days=1)), id="not yet valid"
        ),
    ],
)
async def test_certificates_that_are_refused(ca_file: Path, certificate: Callable[[], trustme.LeafCert]) -> None:
    assert await answered(speaking(certificate()), ca_file) == (Outcome(error="certificate"), 0)


async def test_an_authority_of_ones_own_is_not_believed_unless_named() -> None:
    assert await answered(speaking(OURS.issue_cert("localhost")), None) == (Outcome(error="certificate"), 0)


async def test_what_speaks_no_tls() -> None:
    receiver = Receiver(handler=answering(200))
    runner = await started(receiver, host="localhost")
    outcome = await attempt(receiver.url.replace("http:", "https:"))
    await runner.cleanup()
    assert (outcome, receiver.requests) == (Outcome(error="tls"), [])


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
async def test_a_file_without_authorities_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"webhooks\.ca_file.*holds no certificates"):
        WebhookSender(WebhookSettings(ca_file=path))


async def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"webhooks\.ca_file.*cannot be read"):
        WebhookSender(WebhookSettings(ca_file=tmp_path / "none.pem"))
