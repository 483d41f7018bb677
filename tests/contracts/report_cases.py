"""What reports and the list of mailboxes must be at any server of this API, by the SDK and byte by byte; a server joins
by giving the `reporting` fixture."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from satchel.client import AsyncClient, ReportPatience
from satchel.contract.errors import NotFound

EVER = datetime(2000, 1, 1, tzinfo=UTC)
NOBODY = "8f5c1f3e-0000-4000-8000-000000000000"
QUICK = ReportPatience(base_seconds=0.02, patience_seconds=30)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReportService:
    """A running server: a mailbox of its own with at least seven messages, and their subjects in the rows' order."""

    url: str
    api_key: str
    address: str
    subjects: list[str]


class Wire:
    """The calls as a client without the SDK makes them."""

    def __init__(self, service: ReportService, session: aiohttp.ClientSession) -> None:
        self.service = service
        self._session = session
        self.mailbox_id = ""

    async def get(self, url: str) -> tuple[int, Json]:
        async with self._session.get(url, headers=self._headers()) as answer:
            return answer.status, await answer.json()

    async def post(self, query: str = "", **body: object) -> tuple[int, Json]:
        url = f"{self.service.url}/api/v1/reports/receivedMessageDetail{query}"
        async with self._session.post(url, headers=self._headers(), json=body) as answer:
            return answer.status, await answer.json()

    async def report(self, query: str = "", **parameters: object) -> Json:
        """The first page of a report that is done."""
        asked = {"mailboxId": self.mailbox_id, "activityType": "received", **parameters}
        status, page = await self.post(query, parameters=asked)
        assert status == 200, page
        give_up = time.monotonic() + 30
        while page["status"] == "running":
            assert time.monotonic() < give_up, page
            assert page["result"] == {"data": [], "total": None}
            status, page = await self.get(page["_links"]["self"]["href"])
            assert status == 200, page
        return page

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.service.api_key}"}


def subjects(page: Json) -> list[str]:
    return [row["subject"] for row in page["result"]["data"]]


class ReportCases:
    """Inherited by the suite of each server."""

    @pytest.fixture
    async def wire(self, reporting: ReportService) -> AsyncIterator[Wire]:
        async with aiohttp.ClientSession() as session:
            wire = Wire(reporting, session)
            _, listed = await wire.get(f"{reporting.url}/api/v1/admin/mailboxes")
            (mailbox,) = [each for each in listed["mailboxes"] if each["mailboxEmail"] == reporting.address]
            wire.mailbox_id = mailbox["mailboxId"]
            yield wire

    @pytest.mark.parametrize("page_rows", [1, 3, 500])
    async def test_the_sdk_gets_every_row_once(self, reporting: ReportService, page_rows: int) -> None:
        async with AsyncClient(reporting.url, reporting.api_key) as client:
            rows = [row async for row in client.messages(reporting.address, EVER, page_rows=page_rows, patience=QUICK)]
        assert [row.subject for row in rows] == reporting.subjects
        assert [row.id for row in rows] == sorted({row.id for row in rows})

    async def test_what_a_row_says_leads_to_its_attachments(self, reporting: ReportService) -> None:
        async with AsyncClient(reporting.url, reporting.api_key) as client:
            (mailbox,) = [each for each in await client.mailboxes() if each.mailbox_email == reporting.address]
            row = await anext(client.messages(mailbox.mailbox_id, EVER, participants=True, patience=QUICK))
            assert (row.mailbox_id, mailbox.active) == (mailbox.mailbox_id, True)
            assert isinstance(row.to, list)
            assert bool(await client.list_attachments(row.message_id)) == row.has_attachments

    async def test_a_mailbox_that_the_key_may_not_see_is_not_found(self, reporting: ReportService) -> None:
        async with AsyncClient(reporting.url, reporting.api_key) as client:
            for mailbox in (NOBODY, "nobody@example.com", "x", "../../etc"):
                with pytest.raises(NotFound):
                    await anext(client.messages(mailbox, EVER))

    async def test_the_envelope_of_a_beginning(self, reporting: ReportService, wire: Wire) -> None:
        parameters = {"mailboxId": wire.mailbox_id, "activityType": "received", "statuses": ["open"]}
        status, begun = await wire.post("?max=2&fieldGroup=basic", parameters=parameters)
        assert (status, begun["status"], begun["progress"]) == (200, "running", 0)
        assert begun["result"] == {"data": [], "total": None}
        assert begun["_links"]["origin"] == {
            "href": f"{reporting.url}/api/v1/reports/receivedMessageDetail?max=2&fieldGroup=basic",
            "method": "POST",
            "body": {"parameters": parameters},
        }
        assert begun["_links"]["self"]["method"] == "GET"
        place = urlsplit(begun["_links"]["self"]["href"])
        assert (f"{place.scheme}://{place.netloc}", place.query) == (reporting.url, "max=2")
        assert place.path.startswith("/api/v1/reports/results/")

    async def test_pages_lead_forth_and_back(self, reporting: ReportService, wire: Wire) -> None:
        first = await wire.report("?max=3")
        assert (first["progress"], first["result"]["total"]) == (100, len(reporting.subjects))
        assert (subjects(first), "prev" in first["_links"]) == (reporting.subjects[:3], False)
        _, second = await wire.get(first["_links"]["next"]["href"])
        assert subjects(second) == reporting.subjects[3:6]
        assert second["_links"]["next"]["href"].endswith(f"?max=3&starting_after={second['result']['data'][-1]['id']}")
        assert second["_links"]["prev"]["href"].endswith(f"?max=3&ending_before={second['result']['data'][0]['id']}")
        _, back = await wire.get(second["_links"]["prev"]["href"])
        assert back["result"]["data"] == first["result"]["data"]
        _, again = await wire.get(second["_links"]["self"]["href"])
        assert again["result"] == second["result"]

    async def test_a_report_may_begin_behind_a_row(self, reporting: ReportService, wire: Wire) -> None:
        first = await wire.report("?max=3")
        behind = await wire.report(f"?max=2&starting_after={first['result']['data'][-1]['id']}")
        assert subjects(behind) == reporting.subjects[3:5]

    async def test_a_row_has_the_fields_of_its_groups(self, wire: Wire) -> None:
        basic = (await wire.report("?max=1"))["result"]["data"][0]
        assert set(basic) == {
            *("id", "messageId", "internetMessageId", "conversationId", "mailboxId", "received"),
            *("sender", "from", "subject", "hasAttachments"),
        }
        wider = (await wire.report("?max=1&fieldGroup=basic,participants"))["result"]["data"][0]
        assert wider.keys() - basic.keys() == {"to", "cc"}
        assert basic["mailboxId"] == wire.mailbox_id

    @pytest.mark.parametrize("activity", ["replied", "closed"])
    async def test_what_nothing_is_known_of_is_empty(self, wire: Wire, activity: str) -> None:
        page = await wire.report(activityType=activity)
        assert (page["result"]["data"], page["result"]["total"], "next" in page["_links"]) == ([], 0, False)

    async def test_a_time_before_all_is_empty(self, wire: Wire) -> None:
        page = await wire.report(activityStart="2000-01-01T00:00:00", activityEnd="2001-01-01T00:00:00Z")
        assert page["result"]["data"] == []

    @pytest.mark.parametrize(
        ("query", "parameters"),
        [
            ("?max=0", {}),
            ("?max=501", {}),
            ("?max=x", {}),
            ("?starting_after=1&ending_before=5", {}),
            ("?starting_after=x", {}),
            ("?fieldGroup=everything", {}),
            ("", {"activityType": "deleted"}),
            ("", {"activityType": None}),
            ("", {"mailboxId": 5}),
            ("", {"activityStart": "2026-01-01"}),
            ("", {"activityEnd": "2026-01-01T00:00:00+02:00"}),
            ("", {"activityStart": "2026-01-02T00:00:00Z", "activityEnd": "2026-01-01T00:00:00Z"}),
        ],
    )
    async def test_what_cannot_be_asked_is_refused(self, wire: Wire, query: str, parameters: Json) -> None:
        asked = {"mailboxId": wire.mailbox_id, "activityType": "received", **parameters}
        status, refused = await wire.post(query, parameters=asked)
        assert (status, refused["error"]["code"], refused["error"]["reason"]) == (400, "400", "invalid_request")
        assert refused["_links"]["origin"]["body"] == {"parameters": asked}

    async def test_an_unknown_mailbox_and_an_unknown_result_are_not_found(self, wire: Wire) -> None:
        status, refused = await wire.post(parameters={"mailboxId": NOBODY, "activityType": "received"})
        assert (status, refused["error"]["reason"]) == (404, "not_found")
        status, refused = await wire.get(f"{wire.service.url}/api/v1/reports/results/{NOBODY}")
        assert (status, refused["error"]["reason"]) == (404, "not_found")
