import pytest

from satchel.mail.mime.names import clean, given_name, made_up_name, parameter_text
from satchel.mail.mime.parameters import parse


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"attachment; filename=a.pdf", "a.pdf"),
        (b"attachment; filename*=UTF-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
        (b"attachment; filename*=iso-8859-1'en'%A3.pdf; filename=fallback.pdf", "£.pdf"),
        (b"attachment; filename*0*=utf-8''%E3%81; filename*1*=%A6; filename*2=.txt", "て.txt"),
        (b"attachment; filename*1=b; filename*0=a; filename*3=d", "ab"),
        (b"attachment; filename*0=a; filename*0001=b", "ab"),
        (b"attachment; filename*=%E2%82%AC.pdf", "€.pdf"),
        (b"attachment; filename*=nope''%E2%82%AC.pdf", "€.pdf"),
        (b"attachment; filename*=utf-8''%E9.pdf", "é.pdf"),
        (b'attachment; filename="=?utf-8?B?44Gm44GZ44GoLnR4dA==?="', "てすと.txt"),
        (b'attachment; filename*0="=?utf-8?B?44Gm44GZ"; filename*1="44GoLnR4dA==?="', "てすと.txt"),
        ("attachment; filename=Frösche.txt".encode(), "Frösche.txt"),
        (b"attachment; filename=Fr\xf6sche.txt", "Frösche.txt"),
        (b'attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        (b'attachment; filename="a\x00b\r\n\tc\x1b.txt"', "ab c.txt"),
        (b'attachment; filename="' + "a\u202egpj.exe".encode() + b'"', "a\u202egpj.exe"),
        (b'attachment; filename=""', None),
        (b'attachment; filename="  "', None),
        (b"attachment", None),
    ],
)
def test_the_name_that_the_mail_gives(header: bytes, name: str | None) -> None:
    assert given_name(parse(header).parameters, {}, None) == name


def test_the_name_of_the_type_stands_in_for_a_missing_file_name() -> None:
    assert given_name({}, {"name": b"a.txt"}, None) == "a.txt"
    assert given_name({"filename": b"b.txt"}, {"name": b"a.txt"}, None) == "b.txt"
    assert given_name({"filename": b"\x00"}, {"name": b"a.txt"}, None) == "a.txt"


def test_raw_text_is_read_by_the_charset_of_its_part_when_it_is_not_utf_8() -> None:
    raw = "文件.txt".encode("gb2312")
    assert parameter_text({"name": raw}, "name", "gb2312") == "文件.txt"


def test_a_very_long_name_stays_whole() -> None:
    assert given_name({"filename": b"x" * 4000}, {}, None) == "x" * 4000


def test_made_up_names_say_place_and_type() -> None:
    assert made_up_name("2.1", "application/pdf") == "attachment-2.1.pdf"
    assert made_up_name("2", "application/x-unheard-of") == "attachment-2"
    assert made_up_name("3", "message/rfc822") == "message.eml"


def test_clean_removes_what_ends_lines_and_nothing_else() -> None:
    assert clean("a\r\n\u2028\u2029\x85\x7fb/c\\d:\u202e\u200b") == "ab/c\\d:\u202e\u200b"
