"""Examines an account in Microsoft 365: asks each question once, within a bound, and says what was seen."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from satchel.gateway.findings import Finding, Verdict, unknown
from satchel.gateway.graph.entra import judge_token, judge_token_refusal
from satchel.gateway.graph.notifications import LIFECYCLE, NOTIFICATIONS
from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.graph.verdicts import (
    judge_clock,
    judge_mailbox,
    judge_notification_scheme,
    judge_notification_url,
    judge_refused_mailbox,
    judge_settings,
    judge_subscriptions,
    judge_throttling,
)
from satchel.mail.host import Subscription
from satchel.mail.probe import Prober, Reply
from satchel.mail.source import SourceUnavailable

NOTIFICATION_PATHS = (NOTIFICATIONS.path, LIFECYCLE.path)
_AT_ONCE = 4


class GraphDoctor:
    """Examines one account. No question takes longer than `check_seconds`, and all together a few times as long: a
    Graph that does not answer is not asked for every mailbox."""

    def __init__(
        self,
        graph: GraphSettings,
        prober: Prober,
        subscriptions: Sequence[Subscription],
        *,
        check_seconds: float = 15.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._graph = graph
        self._prober = prober
        self._subscriptions = subscriptions
        self._check_seconds = check_seconds
        self._now = now

    async def examine(self) -> list[Finding]:
        """Everything that there is to say, in the order in which a person would look into it."""
        found = [*judge_settings(self._graph), *await self._token()]
        if any(finding.check == "token" and finding.verdict is Verdict.FAILURE for finding in found):
            found.append(unknown("mailbox", "Without a token no mailbox was asked for."))
        else:
            found += await self._mailboxes()
        found += await self._notification_urls()
        found.append(judge_subscriptions(self._graph, self._subscriptions, self._now()))
        return found

    async def _token(self) -> Sequence[Finding]:
        try:
            async with asyncio.timeout(self._check_seconds):
                return judge_token(await self._prober.token())
        except TimeoutError:
            return [judge_token_refusal(f"The authority gives no answer within {self._check_seconds:g} s.")]
        except SourceUnavailable as error:
            return [judge_token_refusal(str(error))]

    async def _mailboxes(self) -> list[Finding]:
        addresses = list(dict.fromkeys(self._graph.mailboxes))
        refused = self._graph.refused_mailbox
        asked = [(address, folder) for address in addresses for folder in self._graph.folders]
        places = asyncio.Semaphore(_AT_ONCE)
        unanswered = 0

        async def ask(address: str, folder: str) -> Reply:
            nonlocal unanswered
            async with places:
                if unanswered >= _AT_ONCE:
                    # Hundreds of mailboxes would take an hour to say the same.
                    return Reply(status=None, trouble="not asked, as there was no answer for those before")
                reply = await self._bounded(self._prober.read_mailbox(address, folder))
                unanswered = 0 if reply.status is not None else unanswered + 1
                return reply

        replies = await asyncio.gather(*(ask(*each) for each in asked))
        refusal = await self._bounded(self._prober.read_mailbox(refused, "inbox")) if refused is not None else None
        everything = [*replies, *([refusal] if refusal is not None else [])]
        return [
            *_for_each_mailbox(asked, replies),
            judge_refused_mailbox(refused, refusal),
            judge_clock(everything),
            judge_throttling(everything),
        ]

    async def _notification_urls(self) -> list[Finding]:
        url = self._graph.notification_url
        if url is None:
            return []
        trouble = judge_notification_scheme(url)
        if trouble is not None:
            return [trouble]
        found: list[Finding] = []
        for path in NOTIFICATION_PATHS:
            # With what a proxy might decode, encode or cut off.
            token = f"Validation: {secrets.token_urlsafe(16)} +/&="
            reply = await self._bounded(self._prober.shake_hands(f"{url}{path}", token))
            found.append(judge_notification_url(url, path, reply, token))
        return found

    async def _bounded(self, asking: Awaitable[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._check_seconds):
                return await asking
        except TimeoutError:
            return Reply(status=None, trouble=f"no answer within {self._check_seconds:g} s")
        except SourceUnavailable as error:
            return Reply(status=None, trouble=str(error))


def _for_each_mailbox(asked: Sequence[tuple[str, str]], replies: Sequence[Reply]) -> list[Finding]:
    """One finding for each mailbox: of its folders the one that is worst."""
    order = list(Verdict)
    found: dict[str, Finding] = {}
    for (address, _), reply in zip(asked, replies, strict=True):
        finding = judge_mailbox(address, reply)
        if address not in found or order.index(finding.verdict) > order.index(found[address].verdict):
            found[address] = finding
    return list(found.values())
