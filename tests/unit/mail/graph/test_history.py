"""The past of a mailbox of Microsoft 365, from a server that makes its readers wait."""

from datetime import UTC, datetime

from satchel.mail.graph.history import read_history
from tests.unit.mail.graph.fakes import BASE_URL, FakeGraph, http_over, json, refusal

MAILBOX = "a@example.com"
SINCE, UNTIL = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)


async def test_it_is_more_patient_than_a_call_that_somebody_waits_for() -> None:
    graph = FakeGraph.of(
        json({"value": [{"id": "AAMk=", "subject": "1"}], "@odata.nextLink": f"{BASE_URL}/v1.0/x?$skip=1"}),
        refusal(429, "ApplicationThrottled", Retry_After="300"),
        refusal(503, Retry_After="120"),
        json({"value": [{"id": "AAMl=", "subject": "2"}]}),
    )
    pages = read_history(http_over(graph, patience_seconds=20), MAILBOX, "inbox", SINCE, UNTIL)
    assert [[each.subject for each in page] async for page in pages] == [["1"], ["2"]]
    assert graph.asked[-1].at - graph.asked[0].at >= 420
