import pytest

from satchel.mail.mime.parameters import MAX_PARAMETERS, parse


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        (b"", "", {}),
        (b"Text/Plain", "text/plain", {}),
        (b'text/plain; charset="utf-8"; Name=a.txt', "text/plain", {"charset": b"utf-8", "name": b"a.txt"}),
        (b"text/plain (a comment); name=a.txt", "text/plain", {"name": b"a.txt"}),
        (b'attachment; filename="a;b=\\"c\\".txt"', "attachment", {"filename": b'a;b="c".txt'}),
        (
            b"attachment; filename=This is a test.txt; size=3",
            "attachment",
            {"filename": b"This is a test.txt", "size": b"3"},
        ),
        (b"attachment; filename=a (1).txt", "attachment", {"filename": b"a (1).txt"}),
        (b'multipart/mixed boundary="b"', "multipart/mixed", {"boundary": b"b"}),
        (b"multipart/mixed; charset=utf-8 boundary=b", "multipart/mixed", {"charset": b"utf-8", "boundary": b"b"}),
        (b'text/plain; charset="utf-8" name="x"', "text/plain", {"charset": b"utf-8", "name": b"x"}),
        (b"multipart/mixed; boundary==_abc=_1", "multipart/mixed", {"boundary": b"=_abc=_1"}),
        (b'multipart/mixed; boundary = "b" ;', "multipart/mixed", {"boundary": b"b"}),
        (b'attachment; filename="never closed', "attachment", {"filename": b"never closed"}),
        (b'attachment; filename="C:\\TEMP\\nsmail.png"', "attachment", {"filename": b"C:TEMPnsmail.png"}),
        (b"attachment; filename=C:\\TEMP\\x.png", "attachment", {"filename": b"C:\\TEMP\\x.png"}),
        (b"attachment; junk; filename=a", "attachment", {"filename": b"a"}),
        (b"attachment;; ;filename=a", "attachment", {"filename": b"a"}),
        (b"filename=a.txt", "", {"filename": b"a.txt"}),
        (b"attachment; filename=a; filename=b", "attachment", {"filename": b"a"}),
        (
            b"attachment; filename*0*=utf-8''a; filename*1=b",
            "attachment",
            {"filename*0*": b"utf-8''a", "filename*1": b"b"},
        ),
        (b"=?utf-8?Q?invalid?=", "=?utf-8?q?invalid?=", {}),
        (b"attachment; filename=", "attachment", {"filename": b""}),
    ],
)
def test_reads_what_mailers_write(raw: bytes, value: str, parameters: dict[str, bytes]) -> None:
    parsed = parse(raw)
    assert (parsed.value, parsed.parameters) == (value, parameters)


def test_the_number_of_parameters_is_bounded() -> None:
    raw = b"a/b" + b"".join(b"; p%d=1" % number for number in range(3 * MAX_PARAMETERS))
    assert len(parse(raw).parameters) == MAX_PARAMETERS
