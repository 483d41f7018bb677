"""The table of rules."""

import pytest

from satchel.collector.rules import Action, Rule, SkipReason, Verdict, judge
from satchel.contract.attachments import Attachment


def attachment(
    name: str = "a.pdf", kind: str = "fileAttachment", inline: bool | None = None, size: int = 100
) -> Attachment:
    types = {"pdf": "application/pdf", "png": "image/png"}
    content_type = types.get(name.rpartition(".")[2], "application/octet-stream")
    return Attachment(id="a", name=name, content_type=content_type, size=size, attachment_type=kind, is_inline=inline)


def verdict(subject: Attachment, *rules: Rule) -> Verdict:
    return judge(rules, subject, sender="Boss@Example.test", mailbox="invoices@example.test")


STORE, SKIP = Verdict(Action.STORE), Action.SKIP


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (attachment(), STORE),
        (attachment(inline=True), STORE),
        (attachment("logo.png"), STORE),
        (attachment("logo.png", inline=True), Verdict(SKIP, SkipReason.INLINE_IMAGE)),
        (attachment(kind="itemAttachment"), Verdict(SKIP, SkipReason.ITEM)),
        (attachment(kind="referenceAttachment"), Verdict(SKIP, SkipReason.REFERENCE)),
        (attachment(kind="newAttachment"), Verdict(SKIP, SkipReason.UNKNOWN_TYPE)),
    ],
)
def test_without_rules(subject: Attachment, expected: Verdict) -> None:
    assert verdict(subject) == expected


@pytest.mark.parametrize(
    "rule",
    [
        Rule(SKIP),
        Rule(SKIP, content_type="application/*"),
        Rule(SKIP, name="*.PDF"),
        Rule(SKIP, sender="*@example.test"),
        Rule(SKIP, mailbox="invoices@*"),
        Rule(SKIP, min_bytes=100, max_bytes=100),
        Rule(SKIP, inline=False),
    ],
)
def test_a_rule_that_matches_decides(rule: Rule) -> None:
    assert verdict(attachment("a.pdf"), rule) == Verdict(SKIP, SkipReason.RULE, 1)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(SKIP, content_type="image/*"),
        Rule(SKIP, name="*.doc"),
        Rule(SKIP, sender="boss@other.test"),
        Rule(SKIP, mailbox="x@*"),
        Rule(SKIP, min_bytes=101),
        Rule(SKIP, max_bytes=99),
        Rule(SKIP, inline=True),
        Rule(SKIP, name="*.pdf", sender="nobody@*"),
    ],
)
def test_a_rule_that_does_not_match_does_not(rule: Rule) -> None:
    assert verdict(attachment("a.pdf"), rule) == STORE


def test_the_first_match_decides() -> None:
    rules = (Rule(SKIP, name="*.doc"), Rule(Action.STORE, name="a.*"), Rule(SKIP))
    assert verdict(attachment("a.pdf"), *rules) == Verdict(Action.STORE, None, 2)
    assert verdict(attachment("b.pdf"), *rules) == Verdict(SKIP, SkipReason.RULE, 3)


def test_a_rule_can_want_inline_pictures_but_not_what_cannot_be_downloaded() -> None:
    wanted = Rule(Action.STORE)
    assert verdict(attachment("logo.png", inline=True), wanted).action is Action.STORE
    assert verdict(attachment(kind="itemAttachment"), wanted) == Verdict(SKIP, SkipReason.ITEM)


def test_names_are_no_patterns() -> None:
    assert verdict(attachment("[a].pdf"), Rule(SKIP, name="[[]a].pdf")).action is SKIP
    assert verdict(attachment("*"), Rule(SKIP, name="a")) == STORE
