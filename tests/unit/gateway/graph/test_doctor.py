"""An examination from its settings to its last finding, with every question answered by the test."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from satchel.gateway.findings import Verdict
from satchel.gateway.graph.doctor import NOTIFICATION_PATHS, GraphDoctor
from satchel.gateway.graph.settings import GraphSettings
from satchel.mail.probe import Reply
from satchel.mail.source import SourceUnavailable

ONE, TWO, BOSS = "one@example.com", "two@example.com", "boss@example.com"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class ScriptedProber:
    """Answers as `replies` say by mailbox and folder; a handshake as it should be unless `handshake` says otherwise."""

    def __init__(self, replies: dict[tuple[str, str], Reply | Exception] | None = None) -> None:
        self.replies = {(BOSS, "inbox"): Reply(status=403), **(replies or {})}
        self.refusal: Exception | None = None
        self.asked: list[str] = []
        self.hangs = False
        self.under_way = self.most_under_way = 0

    async def token(self) -> str:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        return "opaque"

    async def read_mailbox(self, address: str, folder: str) -> Reply:
        self.asked.append(address)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        reply = self.replies.get((address, folder), Reply(status=200, server_time=NOW, our_time=NOW))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def shake_hands(self, url: str, validation_token: str) -> Reply:
        self.asked.append(urlsplit(url).path)
        return Reply(status=200, content_type="text/plain", body=validation_token.encode())

    async def aclose(self) -> None:
        pass


def doctor(prober: ScriptedProber, **changes: Any) -> GraphDoctor:
    values: dict[str, Any] = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "refused_mailbox": BOSS}
    graph = GraphSettings(**values | {"mailboxes": [ONE, TWO]} | changes)
    return GraphDoctor(graph, prober, [], check_seconds=0.05, now=lambda: NOW)


async def found(prober: ScriptedProber, **changes: Any) -> list[tuple[str, str]]:
    return [(finding.check, finding.verdict) for finding in await doctor(prober, **changes).examine()]


async def test_all_is_well() -> None:
    assert await found(ScriptedProber()) == [
        ("settings", "good"),
        ("token", "good"),
        ("permissions", "unknown"),
        ("mailbox", "good"),
        ("mailbox", "good"),
        ("refused_mailbox", "good"),
        ("clock", "good"),
        ("throttling", "good"),
        ("subscriptions", "good"),
    ]


async def test_without_a_token_no_mailbox_is_asked() -> None:
    prober = ScriptedProber()
    prober.refusal = SourceUnavailable("AADSTS7000222")
    findings = await found(prober, notification_url="https://mail.example.com")
    assert ("token", "failure") in findings
    assert ("mailbox", "unknown") in findings
    # What needs no token is looked at all the same.
    assert prober.asked == list(NOTIFICATION_PATHS)


async def test_an_authority_that_does_not_answer_is_not_waited_for() -> None:
    prober = ScriptedProber()
    prober.hangs = True
    assert ("token", "failure") in await found(prober)


@pytest.mark.parametrize("trouble", [Reply(status=403), SourceUnavailable("the connection broke")])
async def test_one_mailbox_that_fails_does_not_hide_the_others(trouble: Reply | Exception) -> None:
    prober = ScriptedProber({(ONE, "inbox"): trouble})
    assert (await found(prober))[3:5] == [("mailbox", "failure"), ("mailbox", "good")]


async def test_a_mailbox_is_as_good_as_its_worst_folder() -> None:
    prober = ScriptedProber({(TWO, "archive"): Reply(status=404)})
    assert (await found(prober, folders=["inbox", "archive"]))[3:5] == [("mailbox", "good"), ("mailbox", "failure")]


async def test_a_readable_mailbox_that_must_be_refused_is_a_failure() -> None:
    prober = ScriptedProber({(BOSS, "inbox"): Reply(status=200)})
    (finding,) = [each for each in await doctor(prober).examine() if each.check == "refused_mailbox"]
    assert (finding.verdict, "every mailbox" in finding.text) == (Verdict.FAILURE, True)


async def test_four_mailboxes_are_asked_at_once_at_most() -> None:
    prober = ScriptedProber()
    await doctor(prober, mailboxes=[f"m{number}@example.com" for number in range(20)]).examine()
    assert prober.most_under_way == 4


async def test_both_urls_are_shaken_hands_with() -> None:
    findings = await found(ScriptedProber(), notification_url="https://mail.example.com")
    assert findings[-3:] == [("notification_url", "good"), ("notification_url", "good"), ("subscriptions", "warning")]
