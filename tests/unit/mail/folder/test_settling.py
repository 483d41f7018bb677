from satchel.mail.folder.ids import Layout, Place
from satchel.mail.folder.layouts import Sighting
from satchel.mail.folder.settling import Settling

PLACE = Place(Layout.EML, b"a@example.com", b"1.eml")


def seen(size: int, mtime_ns: int = 1, place: Place = PLACE) -> Sighting:
    return Sighting(place, complete=False, size=size, mtime_ns=mtime_ns)


def test_a_file_is_due_when_it_has_rested_long_enough() -> None:
    settling = Settling(0.5)
    assert settling.next_due() is None
    settling.observe(seen(10), 100.0)
    assert settling.next_due() == 100.5
    assert settling.due(100.4) == []
    assert settling.due(100.5) == [seen(10)]


def test_a_file_that_grows_or_is_written_again_begins_anew() -> None:
    settling = Settling(0.5)
    settling.observe(seen(10), 100.0)
    settling.observe(seen(11), 100.4)
    assert settling.due(100.6) == []
    settling.observe(seen(11, mtime_ns=2), 100.8)
    assert settling.due(101.0) == []
    assert settling.due(101.3) == [seen(11, mtime_ns=2)]


def test_another_look_at_an_unchanged_file_does_not_delay_it() -> None:
    settling = Settling(0.5)
    settling.observe(seen(10), 100.0)
    settling.observe(seen(10), 100.4)
    assert settling.due(100.5) == [seen(10)]


def test_what_is_dropped_waits_no_more() -> None:
    settling = Settling(0.5)
    other = Place(Layout.EML, b"a@example.com", b"2.eml")
    settling.observe(seen(10), 100.0)
    settling.observe(seen(10, place=other), 100.2)
    settling.drop(PLACE)
    settling.drop(PLACE)
    assert len(settling) == 1
    assert settling.next_due() == 100.7
