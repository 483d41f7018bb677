"""The archive of a message's files: its member names and its manifest (contract section 5). Holds no content."""

import unicodedata
from collections.abc import Iterable, Sequence

import msgspec

from satchel.contract.attachments import Attachment
from satchel.contract.errors import Reason
from satchel.contract.headers import safe_file_name

ARCHIVE_NAME = "attachments.zip"
MANIFEST_PATH = "manifest.json"

# Characters that Windows has no file names with; the colon also makes drive letters and alternate streams.
_FORBIDDEN = str.maketrans(dict.fromkeys('<>:"|?*', "_"))
# Devices, with whatever extension (Microsoft, "Naming Files, Paths, and Namespaces").
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {
        f"{port}{number}"
        for port in ("COM", "LPT")
        for number in "0123456789\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}"
    }
)


class ArchivedAttachment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One attachment in the manifest. `path` is its member's name; None where it has no bytes of its own to hold, and
    then `reason` is that of the download's refusal. `name` is the original one and may be hostile."""

    id: str
    name: str
    content_type: str
    size: int
    attachment_type: str
    path: str | None
    reason: str | None = None


class ArchiveManifest(msgspec.Struct, frozen=True, rename="camel"):
    """`manifest.json`, the archive's first member: every attachment of the message, in the message's order."""

    message_id: str
    attachments: list[ArchivedAttachment]


def describe_archive(message_id: str, attachments: Sequence[Attachment]) -> ArchiveManifest:
    """What the archive of a message holds: the same attachments always give the same names."""
    names = iter(member_names(each.name for each in attachments if each.is_file))
    return ArchiveManifest(message_id, [_archived(each, next(names) if each.is_file else None) for each in attachments])


def _archived(attachment: Attachment, path: str | None) -> ArchivedAttachment:
    return ArchivedAttachment(
        id=attachment.id,
        name=attachment.name,
        content_type=attachment.content_type,
        size=attachment.size,
        attachment_type=attachment.attachment_type,
        path=path,
        reason=None if path is not None else Reason.ATTACHMENT_TYPE_NOT_DOWNLOADABLE.value,
    )


def member_names(names: Iterable[str]) -> list[str]:
    """A safe member name for each, none of them the manifest's: the second `a.pdf` is `a (2).pdf`.

    They stay distinct where a file system ignores case or the composition of characters.
    """
    taken = {_sameness(MANIFEST_PATH)}
    # Where counting goes on, so that thousands of one name cost no thousands of trials each.
    last_numbers: dict[str, int] = {}
    return [_distinct(safe_member_name(name), taken, last_numbers) for name in names]


def _distinct(wished: str, taken: set[str], last_numbers: dict[str, int]) -> str:
    stem, dot, extension = wished.rpartition(".")
    if not stem:
        stem, dot, extension = wished, "", ""
    key = _sameness(wished)
    name, number = wished, last_numbers.get(key, 1)
    while _sameness(name) in taken:
        number += 1
        name = f"{stem} ({number}){dot}{extension}"
    last_numbers[key] = number
    taken.add(_sameness(name))
    return name


def _sameness(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def safe_member_name(name: str) -> str:
    """A name that may be extracted anywhere: one path component of at most 201 bytes, no drive, no device, no control
    or direction marks, no dot or space at either end."""
    name = safe_file_name(name).translate(_FORBIDDEN).rstrip(". ") or "attachment"
    device = name.partition(".")[0].rstrip(" ").upper()
    return f"_{name}" if device in _DEVICES else name
