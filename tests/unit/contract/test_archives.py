"""Member names that may be extracted anywhere, and the manifest."""

import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satchel.contract.archives import MANIFEST_PATH, describe_archive, member_names, safe_member_name
from satchel.contract.attachments import Attachment, AttachmentType

DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
HOSTILE = st.text(
    st.sampled_from('aA1./\\:*?"<>| \x00\x1f\x7f\x85\u202e\ufeffé\u0301ßſK~\ud800') | st.characters(), max_size=300
)
NAMES = HOSTILE | st.sampled_from(["a.pdf", "A.PDF", "a (2).pdf", "manifest.json", "Manifest.JSON", "con", "", ".."])


def attachment(name: str, kind: str = AttachmentType.FILE) -> Attachment:
    return Attachment(id=f"id of {name}", name=name, content_type="text/plain", size=3, attachment_type=kind)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("請求書.pdf", "請求書.pdf"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("C:\\Windows\\x.exe", "C__Windows_x.exe"),
        ("a.txt:stream", "a.txt_stream"),
        ("con", "_con"),
        ("Nul.tar.gz", "_Nul.tar.gz"),
        ("com1 .txt", "_com1 .txt"),
        ("lpt².txt", "_lpt².txt"),
        ("console.txt", "console.txt"),
        ("trailing. . ", "trailing"),
        (".bashrc", "_bashrc"),
        ("...", "attachment"),
        ("", "attachment"),
        ("a\x00b\x1b[2J\u202e.txt", "ab[2J.txt"),
        ("a\udc80.txt", "a_.txt"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
    ],
)
def test_a_safe_name(name: str, safe: str) -> None:
    assert safe_member_name(name) == safe


def test_equal_names_are_counted() -> None:
    names = ["invoice.pdf", "invoice.pdf", "INVOICE.pdf", "invoice (2).pdf", "manifest.json", "Makefile", "makefile"]
    assert member_names(names) == [
        "invoice.pdf",
        "invoice (2).pdf",
        "INVOICE (3).pdf",
        "invoice (2) (2).pdf",
        "manifest (2).json",
        "Makefile",
        "makefile (2)",
    ]


def test_names_that_differ_in_composition_only_are_equal_on_some_file_systems() -> None:
    assert member_names(["caf\u00e9.txt", "cafe\u0301.txt"])[1] == "cafe\u0301 (2).txt"


def test_thousands_of_one_name_are_named_at_once() -> None:
    names = member_names(["a.pdf"] * 20_000)
    assert (len(set(names)), names[-1]) == (20_000, "a (20000).pdf")


@settings(max_examples=300)
@given(st.lists(NAMES, max_size=30))
def test_any_names_become_safe_and_distinct_ones(names: list[str]) -> None:
    members = member_names(names)
    assert members == member_names(names)
    folded = [unicodedata.normalize("NFC", name.casefold()) for name in [*members, MANIFEST_PATH]]
    assert len(set(folded)) == len(names) + 1
    for member in members:
        assert 0 < len(member.encode("utf-8")) <= 220
        assert not set(member) & set('/\\:*?"<>|')
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in member)
        assert member[0] not in ". "
        assert member[-1] not in ". "
        assert member.partition(".")[0].rstrip(" ").upper() not in DEVICES


def test_the_manifest_tells_of_every_attachment() -> None:
    attachments = [attachment("a.pdf"), attachment("a mail", AttachmentType.ITEM), attachment("a.pdf")]
    described = describe_archive("m1", attachments)
    told = msgspec.to_builtins(described)
    assert told["messageId"] == "m1"
    assert [each["path"] for each in told["attachments"]] == ["a.pdf", None, "a (2).pdf"]
    assert told["attachments"][1] == {
        "id": "id of a mail",
        "name": "a mail",
        "contentType": "text/plain",
        "size": 3,
        "attachmentType": "itemAttachment",
        "path": None,
        "reason": "attachment_type_not_downloadable",
    }
    assert "reason" not in told["attachments"][0]
