"""Which rules fire for a message, and why. Decides, and does nothing.

One and the same look at the conditions answers both, so that what is explained is what happens. Explanations repeat the
rule's own words and count; they say nothing of the message that whoever reads them could not know.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from satchel.contract.attachments import Attachment
from satchel.contract.events import Recipient
from satchel.gateway.rules.conditions import AttachmentConditions, Conditions, is_match
from satchel.gateway.rules.patterns import fits
from satchel.gateway.rules.wording import any_of, attachment_words
from satchel.gateway.text_bounds import MAX_SUBJECT_CHARACTERS, clean


@dataclass(frozen=True, slots=True)
class RuledMessage:
    """What rules look at, its attachments aside: addresses as they came, the subject as the index keeps it."""

    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    subject: str
    has_attachments: bool

    @classmethod
    def of(
        cls, senders: Sequence[Recipient], recipients: Sequence[Recipient], subject: str, *, has_attachments: bool
    ) -> "RuledMessage":
        """`senders` are From and Sender, `recipients` those of To and Cc."""
        subject = clean(subject)[:MAX_SUBJECT_CHARACTERS]
        return cls(_addresses(senders), _addresses(recipients), subject, has_attachments)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a mailbox. Without a webhook it only keeps those behind it from being tried."""

    rule_id: str
    conditions: Conditions
    webhook_id: str | None
    custom_fields: Mapping[str, str]
    stop: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one condition holds, and why."""

    condition: str
    holds: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether all conditions of a rule hold; without conditions they do."""

    rule: Rule
    holds: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """A webhook is to be told of the message, by this rule."""

    webhook_id: str
    rule_id: str
    custom_fields: Mapping[str, str]


def explain(rule: Rule, message: RuledMessage, attachments: Sequence[Attachment] | None) -> Explanation:
    """What each of the rule's conditions says to a message; `attachments` is None where they cannot be read."""
    findings = (*_of_envelope(rule.conditions, message), *_of_attachments(rule.conditions, message, attachments))
    return Explanation(rule, all(finding.holds for finding in findings), findings)


def firings(rules: Sequence[Rule], message: RuledMessage, attachments: Sequence[Attachment] | None) -> Sequence[Firing]:
    """The webhooks that the rules of a mailbox, in their order, tell of a message: each once, by the first of its
    rules that holds. A rule that holds and stops is the last one that is tried."""
    fired: dict[str, Firing] = {}
    for rule in rules:
        if not _holds(rule.conditions, message, attachments):
            continue
        if rule.webhook_id is not None:
            fired.setdefault(rule.webhook_id, Firing(rule.webhook_id, rule.rule_id, rule.custom_fields))
        if rule.stop:
            break
    return list(fired.values())


def needs_attachments(rules: Sequence[Rule], message: RuledMessage) -> bool:
    """Whether the message's attachments have to be known to say which of the rules fire."""
    for rule in rules:
        if not all(finding.holds for finding in _of_envelope(rule.conditions, message)):
            continue
        wanted = rule.conditions.attachments
        if wanted is None and rule.stop:
            return False
        if wanted is not None and _may_have(wanted, message):
            return True
    return False


def _holds(conditions: Conditions, message: RuledMessage, attachments: Sequence[Attachment] | None) -> bool:
    return all(finding.holds for finding in _of_envelope(conditions, message)) and all(
        finding.holds for finding in _of_attachments(conditions, message, attachments)
    )


def _of_envelope(conditions: Conditions, message: RuledMessage) -> Iterator[Finding]:
    if conditions.senders:
        found = _fitting(conditions.senders, message.senders)
        told = f"The sender is {found}." if found else f"Neither From nor Sender is {any_of(conditions.senders)}."
        yield Finding("sender", found is not None, told)
    if conditions.recipients:
        found = _fitting(conditions.recipients, message.recipients)
        none = f"None of the recipients ({len(message.recipients)}) is {any_of(conditions.recipients)}."
        yield Finding("recipient", found is not None, f"A recipient is {found}." if found else none)
    if conditions.subject_contains:
        subject = message.subject.casefold()
        found = next((words for words in conditions.subject_contains if words.casefold() in subject), None)
        told = f"contains {found!r}" if found else f"does not contain {any_of(map(repr, conditions.subject_contains))}"
        yield Finding("subject contains", found is not None, f"The subject {told}.")
    if conditions.subject_regex is not None:
        matches = is_match(conditions.subject_regex, message.subject)
        told = "matches" if matches else "does not match"
        yield Finding("subject regex", matches, f"The subject {told} {conditions.subject_regex}")
    if conditions.has_attachments is not None:
        told = "It has attachments." if message.has_attachments else "It has no attachments."
        yield Finding("has attachments", conditions.has_attachments == message.has_attachments, told)


def _of_attachments(
    conditions: Conditions, message: RuledMessage, attachments: Sequence[Attachment] | None
) -> Iterator[Finding]:
    wanted = conditions.attachments
    if wanted is None:
        return
    if not _may_have(wanted, message):
        yield Finding("attachment", False, "It has no attachments but pictures in its text, if any.")
    elif attachments is None:
        yield Finding("attachment", False, "Its attachments cannot be read.")
    else:
        count = sum(_fits(wanted, each) for each in attachments)
        told = f"{count or 'None'} of its attachments ({len(attachments)}) is {attachment_words(wanted)}."
        yield Finding("attachment", count > 0, told)


def _may_have(wanted: AttachmentConditions, message: RuledMessage) -> bool:
    return message.has_attachments or wanted.with_inline


def _fits(wanted: AttachmentConditions, attachment: Attachment) -> bool:
    # Mail programs mark documents inline too: only pictures are taken for decoration.
    is_decoration = bool(attachment.is_inline) and attachment.content_type.startswith("image/")
    return (
        (wanted.with_inline or not is_decoration)
        and (wanted.min_bytes or 0) <= attachment.size
        and (wanted.max_bytes is None or attachment.size <= wanted.max_bytes)
        and (not wanted.kinds or any(_is_kind(kind.lower(), attachment) for kind in wanted.kinds))
    )


def _is_kind(kind: str, attachment: Attachment) -> bool:
    if kind.startswith("."):
        return attachment.name.lower().rstrip().endswith(kind)
    return fnmatchcase(attachment.content_type.lower(), kind)


def _addresses(people: Sequence[Recipient]) -> tuple[str, ...]:
    return tuple(clean(each.email_address.address) for each in people)


def _fitting(patterns: Sequence[str], addresses: Sequence[str]) -> str | None:
    return next((pattern for pattern in patterns if any(fits(pattern, address) for address in addresses)), None)
