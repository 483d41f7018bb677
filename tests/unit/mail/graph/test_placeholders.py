from datetime import UTC, datetime, timedelta

import pytest

from satchel.contract.attachments import Attachment
from satchel.mail.graph.options import DEFAULT_PLACEHOLDERS
from satchel.mail.graph.placeholders import Placeholders

NOW = datetime(2025, 6, 3, 8, tzinfo=UTC)
FILES = Placeholders(DEFAULT_PLACEHOLDERS, 1800.0)


def named(name: str, since: datetime | None = NOW) -> Attachment:
    return Attachment(
        id="A", name=name, content_type="x/y", size=1, attachment_type="fileAttachment", last_modified=since
    )


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("ATP Scan In Progress", True),
        ("atp scan in progress.eml", True),
        ("Safe Attachments Scan In Progress", True),
        ("invoice.pdf", False),
        ("my ATP scan in progress.pdf", False),
        ("", False),
    ],
)
def test_names(name: str, is_one: bool) -> None:
    assert (FILES.retry_after([named("other.pdf"), named(name)], NOW) is not None) is is_one


@pytest.mark.parametrize(
    ("age_seconds", "expected"), [(0, 60.0), (1_000, 60.0), (1_790, 10.0), (1_800, None), (9_999, None), (-9_999, 60.0)]
)
def test_the_wait_is_bounded(age_seconds: float, expected: float | None) -> None:
    held = named("ATP Scan In Progress", NOW - timedelta(seconds=age_seconds))
    assert FILES.retry_after([held], NOW) == expected


def test_without_a_time_of_its_own_it_counts_from_the_receipt_and_without_both_nobody_waits() -> None:
    held = named("ATP Scan In Progress", None)
    assert FILES.retry_after([held], NOW, NOW - timedelta(seconds=1_790)) == 10.0
    assert FILES.retry_after([held], NOW) is None


def test_no_patterns_no_waiting() -> None:
    assert Placeholders((), 1800.0).retry_after([named("ATP Scan In Progress")], NOW) is None


def test_only_the_beginning_of_a_long_name_is_looked_at() -> None:
    patterns = Placeholders(("needle",), 1800.0)
    assert patterns.retry_after([named("x" * 290 + "needle")], NOW) is not None
    assert patterns.retry_after([named("x" * 100_000 + "needle")], NOW) is None
