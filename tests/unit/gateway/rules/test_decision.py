"""What each condition asks, in which order rules are tried, and that explanations say what happens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satchel.contract.attachments import Attachment
from satchel.contract.events import EmailAddress, Recipient
from satchel.gateway.rules.conditions import AttachmentConditions, Conditions
from satchel.gateway.rules.decision import Rule, RuledMessage, explain, firings, needs_attachments
from tests.unit.gateway.rules.messages import pdf, rule, ruled

PICTURE = pdf(name="logo.png", content_type="image/png", is_inline=True)


def of(**attachments: Any) -> dict[str, Any]:
    return {"attachments": AttachmentConditions(**attachments)}


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"senders": ("@supplier.example",)}, True),
        ({"senders": ("@other.example", "ann@supplier.example")}, True),
        ({"senders": ("@other.example",)}, False),
        ({"recipients": ("invoices@example.test",)}, True),
        ({"recipients": ("billing@example.test",)}, False),
        ({"subject_contains": ("INVOICE",)}, True),
        ({"subject_contains": ("order", "voice 4")}, True),
        ({"subject_contains": ("order",)}, False),
        ({"subject_regex": r"invoice \d+$"}, True),
        ({"subject_regex": r"^\d"}, False),
        ({"has_attachments": True}, True),
        ({"has_attachments": False}, False),
        (of(), True),
        (of(kinds=(".pdf",)), True),
        (of(kinds=(".PDF", ".xml")), True),
        (of(kinds=("application/*",)), True),
        (of(kinds=("image/*", ".docx")), False),
        (of(kinds=(".df",)), False),
        (of(min_bytes=1_000, max_bytes=1_000), True),
        (of(min_bytes=1_001), False),
        (of(max_bytes=999), False),
        ({"senders": ("@supplier.example",), "subject_contains": ("order",)}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], holds: bool) -> None:
    one = rule(**conditions)
    assert bool(firings([one], ruled(), [pdf()])) == explain(one, ruled(), [pdf()]).holds == holds


def test_one_attachment_has_to_be_all_of_it() -> None:
    large_pdf_only = rule(**of(kinds=(".pdf",), min_bytes=5_000))
    table = pdf(9_000, name="t.xlsx", content_type="application/vnd.ms-excel")
    assert firings([large_pdf_only], ruled(), [pdf(10), table]) == []
    assert firings([large_pdf_only], ruled(), [pdf(10), table, pdf(5_000)])


@pytest.mark.parametrize(
    ("has_attachments", "with_inline", "attachments", "holds"),
    [
        (False, False, [PICTURE], False),
        (False, True, [PICTURE], True),
        (True, False, [PICTURE, pdf()], False),
        (True, False, [pdf(content_type="image/png")], True),
        (True, False, [pdf(name="a.png", is_inline=True)], False),
        (True, True, None, False),
    ],
)
def test_pictures_in_the_text_are_no_documents(
    has_attachments: bool, with_inline: bool, attachments: list[Attachment] | None, holds: bool
) -> None:
    one = rule(**of(kinds=("image/*",), with_inline=with_inline))
    message = ruled(has_attachments=has_attachments)
    assert explain(one, message, attachments).holds == holds
    # An inline PDF is a document.
    assert explain(rule(**of(kinds=(".pdf",))), ruled(), [pdf(is_inline=True)]).holds


def test_only_addresses_decide_who_somebody_is() -> None:
    message = RuledMessage.of(
        [Recipient(EmailAddress("ann@supplier.example", "x@evil.example"))],
        [Recipient(EmailAddress("@example.test", ""))],
        "\ud800\0" + "x" * 20_000,
        has_attachments=False,
    )
    assert firings([rule(senders=("@supplier.example",)), rule(recipients=("@example.test",))], message, []) == []
    assert len(message.subject) == 10_000
    assert firings([rule(subject_regex="^\\?\N{REPLACEMENT CHARACTER}x+$")], message, [])


def test_rules_fire_in_their_order_until_one_stops() -> None:
    rules = [
        rule("1", "a", subject_contains=("no",)),
        rule("2", "b"),
        rule("3", "a"),
        rule("4", "b", subject_contains=("invoice",)),
        rule("5", None, stop=True, senders=("@other.example",)),
        rule("6", "c", stop=True),
        rule("7", "d"),
    ]
    assert [(each.webhook_id, each.rule_id) for each in firings(rules, ruled(), None)] == [
        ("b", "2"),
        ("a", "3"),
        ("c", "6"),
    ]


def test_a_webhook_has_the_fields_of_the_first_rule_that_fires_it() -> None:
    (fired,) = firings([rule("1", "a"), rule("2", "a")], ruled(), None)
    assert fired.custom_fields == {"rule": "1"}


def test_a_rule_without_a_webhook_only_stops() -> None:
    assert firings([rule("1", None, stop=True), rule("2")], ruled(), None) == []
    assert len(firings([rule("1", None, stop=True, subject_contains=("no",)), rule("2")], ruled(), None)) == 1


@pytest.mark.parametrize(
    ("rules", "message", "needed"),
    [
        ([rule(has_attachments=True)], {}, False),
        ([rule(**of())], {}, True),
        ([rule(**of(), senders=("@other.example",))], {}, False),
        ([rule(**of())], {"has_attachments": False}, False),
        ([rule(**of(with_inline=True))], {"has_attachments": False}, True),
        ([rule(stop=True), rule(**of())], {}, False),
        ([rule(stop=True, subject_contains=("no",)), rule(**of())], {}, True),
        ([rule(**of(), stop=True), rule()], {}, True),
    ],
)
def test_attachments_are_asked_for_where_they_decide(rules: list[Rule], message: dict[str, Any], needed: bool) -> None:
    assert needs_attachments(rules, ruled(**message)) == needed


def test_an_explanation_names_each_condition_and_nothing_of_the_message() -> None:
    conditions: dict[str, Any] = {
        "senders": ("@a.example", "@b.example"),
        "recipients": ("@c.example",),
        "subject_contains": ("order",),
        "subject_regex": "^x",
        "has_attachments": True,
        **of(kinds=(".zip",), min_bytes=1_000, max_bytes=2_000),
    }
    found = explain(rule(**conditions), ruled(), [pdf()])
    assert not found.holds
    assert [(each.condition, each.holds, each.reason) for each in found.findings] == [
        ("sender", False, "Neither From nor Sender is @a.example or @b.example."),
        ("recipient", False, "None of the recipients (1) is @c.example."),
        ("subject contains", False, "The subject does not contain 'order'."),
        ("subject regex", False, "The subject does not match ^x"),
        ("has attachments", True, "It has attachments."),
        (
            "attachment",
            False,
            "None of its attachments (1) is .zip, of 1,000 bytes or more, of 2,000 bytes at most.",
        ),
    ]


PATTERNS = ["@supplier.example", "ann@supplier.example", "@*.example", "@müller.example", "bob@example.test"]
ADDRESSES = [
    "ann@supplier.example",
    "bob@example.test",
    "x@xn--mller-kva.example",
    "a@b@c",
    "",
    "ann@a.supplier.example",
]
some = st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple)
attachment_conditions = st.builds(
    AttachmentConditions,
    kinds=st.lists(st.sampled_from([".pdf", "image/*", "*/*"]), max_size=2).map(tuple),
    min_bytes=st.none() | st.integers(0, 3),
    max_bytes=st.none() | st.integers(3, 6),
    with_inline=st.booleans(),
)
rules_of_a_mailbox = st.lists(
    st.builds(
        lambda conditions, webhook_id, stop: (conditions, webhook_id, stop or webhook_id is None),
        st.builds(
            Conditions,
            senders=some,
            recipients=some,
            subject_contains=st.sampled_from([(), ("invoice",), ("x",)]),
            subject_regex=st.sampled_from([None, "^i", "(a+)+$"]),
            has_attachments=st.sampled_from([None, True]),
            attachments=st.none() | attachment_conditions,
        ),
        st.sampled_from([None, "a", "b"]),
        st.booleans(),
    ),
    max_size=6,
).map(lambda rows: [Rule(str(n), c, w, {"n": str(n)}, s) for n, (c, w, s) in enumerate(rows)])
messages = st.builds(
    RuledMessage,
    senders=st.lists(st.sampled_from(ADDRESSES), max_size=2).map(tuple),
    recipients=st.lists(st.sampled_from(ADDRESSES), max_size=3).map(tuple),
    subject=st.sampled_from(["Invoice 7", "", "aaaa", "x"]),
    has_attachments=st.booleans(),
)
attachments_of_one = st.none() | st.lists(
    st.builds(
        pdf,
        size=st.integers(0, 7),
        name=st.sampled_from(["a.pdf", "b.png"]),
        content_type=st.sampled_from(["application/pdf", "image/png"]),
        is_inline=st.sampled_from([None, True, False]),
    ),
    max_size=3,
)


@given(rules_of_a_mailbox, messages, attachments_of_one)
def test_what_is_explained_is_what_happens(
    rules: list[Rule], message: RuledMessage, attachments: list[Attachment] | None
) -> None:
    told: dict[str, str] = {}
    for one in rules:
        explained = explain(one, message, attachments)
        assert explained.holds == all(finding.holds for finding in explained.findings)
        if explained.holds:
            if one.webhook_id is not None:
                told.setdefault(one.webhook_id, one.rule_id)
            if one.stop:
                break
    assert [(each.webhook_id, each.rule_id) for each in firings(rules, message, attachments)] == list(told.items())


@given(rules_of_a_mailbox, messages, attachments_of_one)
def test_where_attachments_are_not_needed_they_change_nothing(
    rules: list[Rule], message: RuledMessage, attachments: list[Attachment] | None
) -> None:
    if not needs_attachments(rules, message):
        assert firings(rules, message, None) == firings(rules, message, attachments)
