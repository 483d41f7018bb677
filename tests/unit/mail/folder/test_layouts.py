from pathlib import Path

import pytest

from satchel.mail.folder.ids import Layout
from satchel.mail.folder.layouts import Store, entry_address, find_stores, mailbox_address
from satchel.mail.source import SourceUnavailable
from satchel.testing.mail import deliver


@pytest.mark.parametrize("name", ["a@example.com", "first.last+tag@sub.example", "MÜLLER@example.com"])
def test_addresses_are_taken_in_lower_case(name: str) -> None:
    assert mailbox_address(name.encode()) == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", ".a@b", "a\n@b", "a\x7f@b", "a\\@b", "x" * 300 + "@example.com"],
)
def test_other_names_are_none(name: str) -> None:
    assert mailbox_address(name.encode()) is None


def test_a_name_that_is_not_utf_8_is_none() -> None:
    assert mailbox_address(b"\xff@example.com") is None


def test_an_mbox_is_named_after_its_address() -> None:
    assert entry_address(Layout.MBOX, b"A@b.mbox") == "a@b"
    assert entry_address(Layout.MBOX, b"a@b") is None
    assert entry_address(Layout.EML, b"A@b") == "a@b"


def test_stores_of_all_layouts(tmp_path: Path) -> None:
    deliver(tmp_path / "m@example.com", b"")
    (tmp_path / "e@example.com").mkdir()
    (tmp_path / "E@example.com").mkdir()
    (tmp_path / "half@example.com" / "new").mkdir(parents=True)
    (tmp_path / "B@example.com.MBOX").touch()
    assert find_stores(tmp_path) == [
        Store("b@example.com", Layout.MBOX, b"B@example.com.MBOX"),
        Store("e@example.com", Layout.EML, b"E@example.com"),
        Store("e@example.com", Layout.EML, b"e@example.com"),
        Store("half@example.com", Layout.EML, b"half@example.com"),
        Store("m@example.com", Layout.MAILDIR, b"m@example.com"),
    ]


def test_links_and_other_entries_are_no_mailboxes(tmp_path: Path) -> None:
    root, outside = tmp_path / "mail", tmp_path / "outside"
    root.mkdir()
    deliver(outside, b"")
    (outside / "mbox").touch()
    (root / "link@example.com").symlink_to(outside, target_is_directory=True)
    (root / "link@example.com.mbox").symlink_to(outside / "mbox")
    (root / "file@example.com").touch()
    (root / "lost+found").mkdir()
    (root / "folder@example.com.mbox").mkdir()
    assert [store.mailbox for store in find_stores(root)] == ["folder@example.com.mbox"]


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "a@example.com").mkdir(parents=True)
    (tmp_path / "mail").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert [store.mailbox for store in find_stores(tmp_path / "mail")] == ["a@example.com"]


def test_a_root_that_is_not_there_is_trouble_that_may_pass(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="mount it"):
        find_stores(tmp_path / "none")
