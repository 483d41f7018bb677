import pytest

from satchel.mail.mime.charsets import decode_text


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        (b"plain", None, "plain"),
        ("Frösche".encode(), None, "Frösche"),
        (b"Fr\xf6sche", None, "Frösche"),
        (b"Fr\xf6sche", "utf-8", "Frösche"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        ("①".encode("cp932"), "shift_jis", "①"),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本"),
        ("한국".encode("euc_kr"), "ks_c_5601-1987", "한국"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        ("שלום".encode("iso-8859-8"), "iso-8859-8-i", "שלום"),
        (b"\x81", None, "\x81"),
    ],
)
def test_the_declared_charset_then_what_fits(raw: bytes, charset: str | None, text: str) -> None:
    assert decode_text(raw, charset) == text


@pytest.mark.parametrize(
    "charset",
    ["unicode_escape", "idna", "punycode", "utf-7", "base64", "zlib", "rot13", "undefined", "../x", "", "é", "nope"],
)
def test_what_is_no_charset_of_mail_is_not_used(charset: str) -> None:
    assert decode_text(b"\\u0041+ADw-", charset) == "\\u0041+ADw-"


def test_never_a_lone_surrogate() -> None:
    assert decode_text(b"\x00\xd8", "utf-16-le") in {"\ufffd", "\x00Ø"}
    decode_text(bytes(range(256)) * 2, "utf-16").encode("utf-8")
