"""What a doctor has found: values, and what they come to."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands with one thing; the worst comes last. `UNKNOWN`: it could not be looked at, or need not be."""

    GOOD = "good"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` names it for programs, `text` says how it stands, `advice` what to do."""

    check: str
    verdict: Verdict
    text: str
    advice: str = ""


def good(check: str, text: str) -> Finding:
    return Finding(check, Verdict.GOOD, text)


def unknown(check: str, text: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, text)


def warning(check: str, text: str, advice: str) -> Finding:
    return Finding(check, Verdict.WARNING, text, advice)


def failure(check: str, text: str, advice: str) -> Finding:
    return Finding(check, Verdict.FAILURE, text, advice)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict among them; what could not be looked at counts as good."""
    order = list(Verdict)
    found = max((finding.verdict for finding in findings), key=order.index, default=Verdict.GOOD)
    return Verdict.GOOD if found is Verdict.UNKNOWN else found
