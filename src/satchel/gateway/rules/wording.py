"""Conditions in words, for people."""

from collections.abc import Iterable, Sequence

from satchel.gateway.rules.conditions import AttachmentConditions, Conditions


def condition_words(conditions: Conditions) -> Sequence[str]:
    """Each condition as a few words; none: any message will do."""
    words: list[str] = []
    if conditions.senders:
        words.append(f"from {any_of(conditions.senders)}")
    if conditions.recipients:
        words.append(f"to {any_of(conditions.recipients)}")
    if conditions.subject_contains:
        words.append(f"subject contains {any_of(map(repr, conditions.subject_contains))}")
    if conditions.subject_regex is not None:
        words.append(f"subject matches {conditions.subject_regex}")
    if conditions.has_attachments is not None:
        words.append("has attachments" if conditions.has_attachments else "has no attachments")
    if conditions.attachments is not None:
        inline = ", pictures in the text too" if conditions.attachments.with_inline else ""
        words.append(f"an attachment is {attachment_words(conditions.attachments)}{inline}")
    return words


def attachment_words(wanted: AttachmentConditions) -> str:
    """What an attachment has to be."""
    parts = [any_of(wanted.kinds) if wanted.kinds else "of any kind"]
    if wanted.min_bytes is not None:
        parts.append(f"of {wanted.min_bytes:,} bytes or more")
    if wanted.max_bytes is not None:
        parts.append(f"of {wanted.max_bytes:,} bytes at most")
    return ", ".join(parts)


def any_of(words: Iterable[str]) -> str:
    return " or ".join(words)
