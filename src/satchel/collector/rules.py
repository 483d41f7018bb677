"""Which attachments are wanted: an ordered table of rules, decided without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from satchel.contract.attachments import Attachment, AttachmentType


class Action(StrEnum):
    STORE = "store"
    SKIP = "skip"


class SkipReason(StrEnum):
    """Why an attachment was skipped; stable, for programs."""

    RULE = "rule"
    INLINE_IMAGE = "inline_image"
    ITEM = "not_downloadable_item"
    REFERENCE = "not_downloadable_reference"
    UNKNOWN_TYPE = "not_downloadable_unknown_type"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: all conditions that are set must hold. Globs ignore case; sizes are listed bytes."""

    action: Action
    content_type: str = "*"
    name: str = "*"
    sender: str = "*"
    mailbox: str = "*"
    min_bytes: int = 0
    max_bytes: int | None = None
    inline: bool | None = None

    def matches(self, attachment: Attachment, *, sender: str, mailbox: str) -> bool:
        globs = (
            (attachment.content_type, self.content_type),
            (attachment.name, self.name),
            (sender, self.sender),
            (mailbox, self.mailbox),
        )
        return (
            self.min_bytes <= attachment.size
            and (self.max_bytes is None or attachment.size <= self.max_bytes)
            and (self.inline is None or self.inline == bool(attachment.is_inline))
            and all(fnmatchcase(value.lower(), glob.lower()) for value, glob in globs)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is there for what is skipped; `rule` is the deciding rule's number from 1, None where none matched."""

    action: Action
    reason: SkipReason | None = None
    rule: int | None = None


_NOT_DOWNLOADABLE = {
    AttachmentType.ITEM.value: SkipReason.ITEM,
    AttachmentType.REFERENCE.value: SkipReason.REFERENCE,
}


def judge(rules: Sequence[Rule], attachment: Attachment, *, sender: str, mailbox: str) -> Verdict:
    """The first rule that matches decides. Where none does, pictures shown inside the text are skipped.

    Only file attachments can be downloaded (contract section 7), so no rule is asked about the other kinds.
    """
    if not attachment.is_file:
        reason = _NOT_DOWNLOADABLE.get(attachment.attachment_type, SkipReason.UNKNOWN_TYPE)
        return Verdict(Action.SKIP, reason)
    for number, rule in enumerate(rules, 1):
        if rule.matches(attachment, sender=sender, mailbox=mailbox):
            return Verdict(rule.action, SkipReason.RULE if rule.action is Action.SKIP else None, number)
    # Mail programs mark documents inline too: only pictures are taken for decoration.
    if attachment.is_inline and attachment.content_type.startswith("image/"):
        return Verdict(Action.SKIP, SkipReason.INLINE_IMAGE)
    return Verdict(Action.STORE)
