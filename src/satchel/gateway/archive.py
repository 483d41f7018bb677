"""What goes into a message's archive, and how: members, compression, times and the length. Decides only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from satchel.contract.archives import MANIFEST_PATH, describe_archive
from satchel.contract.attachments import Attachment
from satchel.gateway.zip_writer import FIRST_MOMENT, Entry, zip_length

# Compressed already: deflating them again costs a core and saves a few percent at the most.
_STORED_TYPES = frozenset(
    {
        # Pictures with a compression of their own; bmp, tiff and svg often have none.
        *("image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "image/heif", "image/avif", "image/jxl"),
        # Archives and compressed files.
        *("application/zip", "application/x-zip-compressed", "application/gzip", "application/x-gzip"),
        *("application/x-7z-compressed", "application/vnd.rar", "application/x-rar-compressed", "application/zstd"),
        *("application/x-bzip2", "application/x-xz", "application/epub+zip", "application/java-archive"),
        # Its streams are deflated by nearly every program that writes it.
        "application/pdf",
        # Encrypted bytes look like noise.
        *("application/pkcs7-mime", "application/x-pkcs7-mime"),
    }
)
# The office formats are ZIP files; sound and film are compressed but for the exceptions below.
_STORED_PREFIXES = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "audio/",
    "video/",
)
_DEFLATED_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/aiff", "audio/x-aiff", "audio/midi"})
# Much mail says application/octet-stream of everything.
_STORED_EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "jpe", "png", "gif", "webp", "heic", "heif", "avif", "jxl"),
        *("zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "epub", "jar", "apk"),
        *("pdf", "p7m", "age", "gpg"),
        *("docx", "docm", "dotx", "xlsx", "xlsm", "xlsb", "xltx", "pptx", "pptm", "ppsx", "odt", "ods", "odp", "odg"),
        *(
            "mp3",
            "m4a",
            "aac",
            "ogg",
            "oga",
            "opus",
            "flac",
            "wma",
            "mp4",
            "m4v",
            "mov",
            "mkv",
            "webm",
            "avi",
            "wmv",
            "mpg",
            "mpeg",
        ),
    }
)
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "application/binary", "binary/octet-stream"})


def is_compressed(content_type: str, name: str) -> bool:
    """Whether a file is stored as it is: by its type, or by its extension where the type says nothing."""
    if content_type in _UNKNOWN_TYPES:
        return name.rpartition(".")[2].lower() in _STORED_EXTENSIONS
    if content_type in _DEFLATED_TYPES:
        return False
    return content_type in _STORED_TYPES or content_type.startswith(_STORED_PREFIXES)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the message and its place in the archive."""

    attachment: Attachment
    entry: Entry


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """The members in their order, the manifest before them, and the archive's length where it is known beforehand."""

    manifest: bytes
    manifest_entry: Entry
    members: tuple[Member, ...]
    length: int | None


def plan_archive(message_id: str, attachments: Sequence[Attachment], *, sizes_are_exact: bool) -> ArchivePlan:
    """How the files of a message are archived; the same attachments give the same archive, byte for byte.

    The length is known where nothing is compressed and the listed sizes are exact.
    """
    described = describe_archive(message_id, attachments)
    manifest = msgspec.json.format(msgspec.json.encode(described), indent=2)
    paths = [each.path for each in described.attachments]
    members = tuple(
        Member(attachment, _entry(attachment, path, sizes_are_exact=sizes_are_exact))
        for attachment, path in zip(attachments, paths, strict=True)
        if path is not None
    )
    moment = max((member.entry.moment for member in members), default=FIRST_MOMENT)
    is_stored = all(member.entry.is_stored for member in members)
    entry = Entry(MANIFEST_PATH, moment, is_stored=is_stored, size=len(manifest))
    return ArchivePlan(manifest, entry, members, zip_length([entry, *(member.entry for member in members)]))


def _entry(attachment: Attachment, path: str, *, sizes_are_exact: bool) -> Entry:
    modified = attachment.last_modified
    return Entry(
        path,
        FIRST_MOMENT if modified is None else _utc(modified),
        is_stored=is_compressed(attachment.content_type, attachment.name),
        size=attachment.size if sizes_are_exact else None,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
