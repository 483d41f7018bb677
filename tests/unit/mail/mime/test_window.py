from unittest.mock import patch

from satchel.mail.mime import window
from satchel.mail.mime.window import Window, pread_all
from tests.unit.mail.mime.messages import opened


def test_holds_what_is_asked_for_and_no_more_than_the_range() -> None:
    with opened(b"0123456789" * 10) as fd, patch.object(window, "WINDOW_BYTES", 4):
        view = Window(fd, 10, 30)
        view.hold(12, 3)
        assert (view.base, view.data, view.reaches_end) == (12, b"2345", False)
        view.hold(13, 3)
        assert view.base == 12
        view.hold(20, 100)
        assert (view.base, view.data, view.reaches_end) == (20, b"0123456789", True)


def test_a_shorter_file_is_a_shorter_range() -> None:
    with opened(b"0123456789") as fd:
        view = Window(fd, 0, 100)
        view.hold(5, 50)
        assert (view.data, view.stop, view.reaches_end) == (b"56789", 10, True)


def test_reads_on_where_the_system_returns_less() -> None:
    with opened(b"0123456789") as fd:
        with patch.object(window.os, "pread", side_effect=[b"012", b"34", b""]):
            assert pread_all(fd, 10, 0) == b"01234"
        assert pread_all(fd, 4, 8) == b"89"
