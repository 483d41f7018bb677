from satchel.mail.mime.headers import first_fields, is_field_line

WANTED = frozenset({"content-type", "content-id"})


def test_fields_are_unfolded_and_stripped() -> None:
    block = b"Content-Type: text/plain;\r\n\tname=a\r\nContent-ID :\r\n <x@y>\r\nX-Other: 1\r\n"
    assert first_fields(block, WANTED) == {"content-type": b"text/plain;\tname=a", "content-id": b"<x@y>"}


def test_the_first_of_a_repeated_field_counts() -> None:
    assert first_fields(b"Content-ID: a\nCONTENT-ID: b\n", WANTED) == {"content-id": b"a"}


def test_lines_that_are_no_fields_are_passed_over() -> None:
    assert first_fields(b"From x\nno field\n: none\nContent-ID: a\n", WANTED) == {"content-id": b"a"}


def test_bare_carriage_returns_end_lines_where_there_is_no_line_feed() -> None:
    assert first_fields(b"X: 1\rContent-ID: a\rY: 2\r", WANTED) == {"content-id": b"a"}


def test_a_carriage_return_within_a_line_hides_no_field() -> None:
    assert first_fields(b"X: 1\rContent-ID: a\nY: 2\n", WANTED) == {}


def test_field_lines() -> None:
    assert is_field_line(b"Subject: x")
    assert is_field_line(b"Subject :x")
    assert not is_field_line(b" Subject: x")
    assert not is_field_line(b"no colon")
    assert not is_field_line(b"two words: x")
