import pytest

from satchel.mail.folder.ids import (
    Layout,
    Place,
    attachment_id,
    conversation_id,
    entity_tag,
    is_plain_name,
    message_id,
    read_locator,
)
from satchel.mail.source import MessageNotFound

PLACES = [
    Place(Layout.MAILDIR, b"a@example.com", b"1700000000.M1P2.host,S=12"),
    Place(Layout.EML, b"A@Example.com", "請求書 50%.eml".encode()),
    Place(Layout.EML, b"a@example.com", b"\xff\xfe\n.eml"),
    Place(Layout.MBOX, b"a@example.com.mbox", b"00ff.3", 123_456),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_locator_holds_the_place_in_plain_ascii(place: Place) -> None:
    locator = place.locator()
    assert locator.isascii()
    assert locator.isprintable()
    assert read_locator(locator) == place


@pytest.mark.parametrize(
    "locator",
    [
        "",
        "maildir",
        "maildir/a",
        "maildir/a/b/c",
        "pop3/a/b",
        "eml/../b",
        "eml/a/%2fb",
        "eml/a/",
        "mbox/a/b",
        "mbox/a/b/x",
    ],
)
def test_what_is_no_locator_finds_no_message(locator: str) -> None:
    with pytest.raises(MessageNotFound):
        read_locator(locator)


@pytest.mark.parametrize("name", [b"", b".", b"..", b".hidden", b"a/b", b"/", b"a\0b"])
def test_names_that_are_no_plain_component(name: bytes) -> None:
    assert not is_plain_name(name)


def test_ids_of_a_release_are_ids_of_the_next() -> None:
    # Gateways keep them in their indexes, and customers in their systems.
    assert message_id("a@example.com", PLACES[0]) == "MZ0AU5thLBKjOGK-ravsHZG1w_He2p6xG"
    assert attachment_id("M1", b"fingerprint") == "AtOqE6CWNjF8hIkt9-XLYEX-CLqql6y3c"
    assert conversation_id("a@example.com", "<1@x>") == "CUMCOkS3CXGdln_cWtgznoIoK0nzM-mja"


def test_the_hint_is_no_part_of_the_id() -> None:
    moved = Place(Layout.MBOX, b"a@example.com.mbox", b"00ff.3", 9)
    assert message_id("a@example.com", moved) == message_id("a@example.com", PLACES[3])


def test_everything_else_is_part_of_the_id() -> None:
    ids = {message_id(mailbox, place) for mailbox in ("a@example.com", "b@example.com") for place in PLACES}
    ids.add(message_id("a@example.com", Place(Layout.EML, PLACES[0].entry, PLACES[0].key)))
    assert len(ids) == 2 * len(PLACES) + 1


def test_parts_do_not_run_into_each_other() -> None:
    assert entity_tag(b"ab", b"c") != entity_tag(b"a", b"bc")
