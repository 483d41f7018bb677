import pytest

from satchel.mail.mime.encoded_words import decode_words


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain", "plain"),
        ("=?utf-8?B?44Gm44GZ44GoLnR4dA==?=", "てすと.txt"),
        ("=?UTF-8?q?caf=C3=A9_1=2Epdf?=", "café 1.pdf"),
        ("nyan cat =?UTF-8?Q?=E2=9C=94=2Egif?=", "nyan cat ✔.gif"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\t\r\n =?iso-8859-1?q?=E9?=", "aé"),
        ("=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        ("=?utf-8*en?q?a?=", "a"),
        ("=?utf-8?q?with a space?=", "with a space"),
        ("=?utf-8?B?YQ?=", "a"),
        ("=?utf-8?B?A?=", ""),
        ("=?nope?q?=E9?=", "é"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
    ],
)
def test_words_are_decoded_where_they_stand(text: str, decoded: str) -> None:
    assert decode_words(text) == decoded


def test_a_character_cut_in_two_is_joined() -> None:
    assert decode_words("=?utf-8?q?=E3=81?= =?utf-8?q?=A6.txt?=") == "て.txt"
