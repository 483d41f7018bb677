"""Storage keys."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.collector.naming import safe_extension, storage_key

KEY = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}(\.[a-z0-9]{1,8})?")


@given(st.text(), st.text(), st.text())
def test_a_key_is_never_more_than_a_digest_and_an_extension(message: str, attachment: str, name: str) -> None:
    assert KEY.fullmatch(storage_key(message, attachment, name))


def test_ids_do_not_run_together() -> None:
    assert storage_key("ab", "c", "") != storage_key("a", "bc", "")


def test_the_key_is_stable() -> None:
    # Files are found under it for ever: a change here orphans what is stored.
    digest = "3495f49bd0e64e1ce4282ded10d2568d9488a305fa2465de6e5d827140f1a410"
    assert storage_key("m", "a", "x.PDF") == f"{digest[:2]}/{digest}.pdf"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("invoice.PDF", ".pdf"),
        ("archive.tar.gz", ".gz"),
        ("none", ""),
        (".bashrc", ""),
        ("dot.", ""),
        ("long.abcdefghi", ""),
        ("../../etc/passwd", ""),
        ("a.p/f", ""),
        ("a.pd\u202ef", ""),
        ("a.ｐｄｆ", ""),
        ("a.\x00", ""),
    ],
)
def test_extensions(name: str, extension: str) -> None:
    assert safe_extension(name) == extension
