"""How the simulator reads paths, query options and resources, and what its ids and links look like."""

import base64
from datetime import UTC, datetime

import pytest

from satchel.testing.graph.errors import GraphError
from satchel.testing.graph.ids import Ids, attachment_id, looks_like_id
from satchel.testing.graph.notifications import Pace
from satchel.testing.graph.paging import link
from satchel.testing.graph.query import Comparison, check_order, read_filter, read_instant, read_order
from satchel.testing.graph.routing import find, segments
from satchel.testing.graph.server import ROUTES


@pytest.mark.parametrize(
    ("path", "kind", "params"),
    [
        ("/users/a%40b.c/messages", "messages", {"mailbox": "a@b.c"}),
        ("/users/a@b.c/mailFolders('inbox')/messages", "messages", {"mailbox": "a@b.c", "folder": "inbox"}),
        ("/users/a@b.c/mailfolders/AAMk%3D/messages/delta", "delta", {"mailbox": "a@b.c", "folder": "AAMk="}),
        ("/users/a@b.c/mailFolders/x/messages/microsoft.graph.delta()", "delta", {"mailbox": "a@b.c", "folder": "x"}),
        ("/users('a@b.c')/messages('M')/attachments('A')/$value", "content",
         {"mailbox": "a@b.c", "message": "M", "attachment": "A"}),
        ("/Users/g/Messages/M", "message", {"mailbox": "g", "message": "M"}),
        ("/users/a@b.c/mailFolders/inbox/messages/M/attachments", "attachments", {"mailbox": "a@b.c", "message": "M"}),
        ("/users/o''neil/messages", "messages", {"mailbox": "o''neil"}),
        ("/users('o''neil')/messages", "messages", {"mailbox": "o'neil"}),
    ],
)  # fmt: skip
def test_paths_in_every_spelling(path: str, kind: str, params: dict[str, str]) -> None:
    found = find(ROUTES, "GET", path)
    assert (found.route.kind, found.params) == (kind, params)


def test_a_slash_within_an_id_stays_in_it() -> None:
    assert segments("/users/a/messages/x%2Fy") == ["users", "a", "messages", "x/y"]


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/users/a/messages", 405), ("GET", "/groups", 400)])
def test_paths_that_are_not_there(method: str, path: str, status: int) -> None:
    with pytest.raises(GraphError) as refused:
        find(ROUTES, method, path)
    assert refused.value.status == status


def test_filters() -> None:
    since, name = read_filter("receivedDateTime ge 2026-01-01T00:00:00Z and internetMessageId eq '<o''neil@x>'")
    assert since == Comparison("receivedDateTime", "ge", datetime(2026, 1, 1, tzinfo=UTC))
    assert since.holds(datetime(2026, 1, 1, tzinfo=UTC))
    assert not since.holds(datetime(2025, 12, 31, tzinfo=UTC))
    assert name.holds("<O'NEIL@x>")
    assert not name.holds(None)
    assert Comparison("isRead", "ne", True).holds(False)


@pytest.mark.parametrize(
    "text", ["x", "a eq", "a eq 'b' or c eq 'd'", "a eq 'b' and", "contains(subject,'x')", "a eq b"]
)
def test_filters_that_are_refused(text: str) -> None:
    with pytest.raises(GraphError):
        read_filter(text)


def test_what_is_sorted_by_must_be_filtered_by_first() -> None:
    filters, order = (
        read_filter("receivedDateTime ge 2026-01-01 and isRead eq false"),
        read_order("receivedDateTime desc"),
    )
    check_order(filters, order)
    check_order((), order)
    with pytest.raises(GraphError, match="InefficientFilter"):
        check_order(filters[::-1], order)
    with pytest.raises(GraphError):
        read_order("receivedDateTime upwards")


def test_instants_with_seven_digits() -> None:
    assert read_instant("2026-01-02T03:04:05.1234567Z") == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
    assert read_instant("tomorrow") is None


def test_links_to_pages() -> None:
    url = link("https://h", "/v1.0/users/a/messages", "$select=id&%24skip=2&$top=2", skip="4")
    assert url == "https://h/v1.0/users/a/messages?$select=id&$top=2&%24skip=4"


def test_ids_look_as_graph_s() -> None:
    ids = Ids(1)
    mutable, immutable = ids.mutable("m"), ids.immutable("m")
    assert mutable.startswith("AAMk")
    assert immutable.startswith("AAkALgAA")
    assert immutable.isascii()
    assert not set(mutable + immutable) & set("+/")
    assert ids.immutable("m") != immutable
    assert Ids(1).mutable("m") == mutable
    assert looks_like_id(mutable)
    assert not looks_like_id("inbox")
    attachment = attachment_id(immutable, "2", b"")
    assert base64.urlsafe_b64decode(attachment).startswith(base64.urlsafe_b64decode(immutable))
    assert len({attachment_id(immutable, path, salt) for path in ("1", "2") for salt in (b"", b"x")}) == 4


def test_an_endpoint_that_is_slow_loses_its_notifications() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for number in range(20):
        pace.note("u", slow=number < 3)
    assert not pace.drops("u")
    pace.note("u", slow=True)
    assert pace.drops("u")
    assert not pace.drops("other")
    now[0] = 601
    assert not pace.drops("u")
