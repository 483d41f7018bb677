"""What `satchel fetch` and `satchel ls` decide and say, without a server."""

import errno

import pytest
from rich.console import Console

from satchel.cli.api_access import explain
from satchel.cli.fetch import choose, file_names
from satchel.cli.ls import row
from satchel.cli.output import CommandError
from satchel.client import ConnectionFailed
from satchel.contract.attachments import Attachment, AttachmentType
from satchel.contract.errors import Forbidden, NotFound, Reason, Unauthorized


def attachment(name: str, kind: str = AttachmentType.FILE) -> Attachment:
    return Attachment(id=name, name=name, content_type="application/pdf", size=1500, attachment_type=kind)


@pytest.mark.parametrize(
    ("listed", "files"),
    [
        (["a.pdf", "b.pdf"], ["a.pdf", "b.pdf"]),
        (["a.pdf", "a.pdf", "A.PDF"], ["a.pdf", "a (2).pdf", "A (3).PDF"]),
        (["a.pdf", "a.pdf", "a (2).pdf"], ["a.pdf", "a (2).pdf", "a (2) (2).pdf"]),
        (["", "..", "/"], ["attachment", "attachment (2)", "attachment (3)"]),
        (["../../etc/passwd", "a\x1b[2J\u202e.pdf", ".curlrc"], ["___.._etc_passwd", "a[2J.pdf", "_curlrc"]),
        (["x" * 300 + ".pdf"] * 2, ["x" * 196 + ".pdf", "x" * 196 + " (2).pdf"]),
    ],
)
def test_names_are_safe_and_distinct(listed: list[str], files: list[str]) -> None:
    names = file_names([attachment(name) for name in listed])
    assert names == files
    assert len({name.casefold() for name in names}) == len(names)


def test_a_choice_does_not_change_names_and_ignores_case() -> None:
    attachments = [attachment("a.txt"), attachment("a.PDF"), attachment("a.pdf"), attachment("n", AttachmentType.ITEM)]
    console = Console(quiet=True)
    everything = {each.attachment.id: each.file_name for each in choose(attachments, "*", console)}
    assert everything == {"a.txt": "a.txt", "a.PDF": "a.PDF", "a.pdf": "a (2).pdf"}
    assert [each.file_name for each in choose(attachments, "*.Pdf", console)] == ["a.PDF", "a (2).pdf"]


def test_a_choice_that_fits_nothing_is_a_failure_and_no_files_are_none() -> None:
    console = Console(quiet=True)
    with pytest.raises(CommandError, match=r"None of the message's 1 files is named like '\*\.doc'"):
        choose([attachment("a.pdf")], "*.doc", console)
    assert choose([attachment("n", AttachmentType.ITEM)], "*.doc", console) == []


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (Unauthorized("No."), "No. Check SATCHEL_API_KEY"),
        (NotFound("Gone."), "Gone. Check the message id"),
        (Forbidden("No.", reason=Reason.MISSING_SCOPE), "needs messages:read"),
        (ConnectionFailed("No answer."), "No answer."),
        (OSError(errno.ENOSPC, "No space left on device", "/mnt/x"), "/mnt/x cannot be written: No space left"),
    ],
)
def test_a_failure_says_what_to_do(failure: Exception, advice: str) -> None:
    assert advice in explain(failure)


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in explain(NotFound("\x1b[2Jboo\u202e"))


def test_a_row_tells_size_and_kind_for_people() -> None:
    assert row(attachment("a")) == ("a", "application/pdf", "1.5 kB", "file", "")
    assert row(attachment("a", "newAttachment"))[3] == "newAttachment"
