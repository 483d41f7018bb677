"""The SDK's suite against the fake gateway, which thereby keeps to the contract as a real one does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from satchel.testing.gateway import FakeGateway
from tests.contracts.client_cases import ClientCases, Service, list_blocking
from tests.contracts.report_cases import ReportCases, ReportService

FILES = {"invoice.pdf": b"%PDF-1.7 " * 100_000, "größe 請求書.bin": bytes(range(256)) * 33, "empty.txt": b""}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with FakeGateway(api_key="the-key") as gateway:
        for name, content in FILES.items():
            gateway.add("m=", name, content, content_type="application/pdf")
        item = gateway.add("m=", "Nested message", b"", attachment_type="itemAttachment")
        yield Service(gateway.url, gateway.api_key, "m=", FILES, item.attachment.id)


@pytest.fixture
async def reporting() -> AsyncIterator[ReportService]:
    async with FakeGateway(api_key="the-key") as gateway:
        gateway.reports.behaviour.running_answers = 1
        subjects = [f"number {number}" for number in range(8)]
        for number, subject in enumerate(subjects):
            gateway.reports.receive("invoices@example.com", f"m{number}=", subject=subject)
            gateway.reports.receive("other@example.com", f"o{number}=", subject="another's")
            gateway.add(f"m{number}=", "a.pdf", b"%PDF")
        yield ReportService(gateway.url, gateway.api_key, "invoices@example.com", subjects)


class TestFakeGateway(ClientCases):
    pass


class TestReportsOfFakeGateway(ReportCases):
    pass


async def test_the_blocking_client_gets_the_same(service: Service) -> None:
    assert await asyncio.to_thread(list_blocking, service) == service.files
