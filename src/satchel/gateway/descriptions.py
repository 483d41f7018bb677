"""Asks a mail source what arrived, and decides what becomes of each message and which rules fire for it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from satchel.contract.attachments import Attachment
from satchel.gateway.rules.decision import Rule, RuledMessage, firings, needs_attachments
from satchel.gateway.store.pending import PendingMessage
from satchel.gateway.verdicts import Described, Verdict, is_final, judge
from satchel.mail.source import MailSource, MessageNotFound, NotReady, SourceUnavailable

_AT_ONCE = 16
_TROUBLE_PATIENCE = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class Descriptions:
    """What one account's source says of its messages.

    `patience_seconds`: how long a message that is not found is looked for, since its mail server may announce it before
    it can be read.
    """

    def __init__(
        self, account_id: str, source: MailSource, *, patience_seconds: float, now: Callable[[], datetime]
    ) -> None:
        self._account_id = account_id
        self._source = source
        self._patience_seconds = patience_seconds
        self._now = now

    async def verdicts(
        self,
        messages: Sequence[PendingMessage],
        rules: Mapping[str, Sequence[Rule]],
        is_old: Callable[[PendingMessage], bool],
    ) -> list[tuple[PendingMessage, Verdict]]:
        """What becomes of each message. `rules` are those of mailboxes, by address; none are tried on what is old."""
        verdicts: list[tuple[PendingMessage, Verdict]] = []
        attempt = _Attempt(self._source, self._now)
        for start in range(0, len(messages), _AT_ONCE):
            group = messages[start : start + _AT_ONCE]
            results = await asyncio.gather(
                *(attempt.at(each, () if is_old(each) else rules.get(each.ref.mailbox, ())) for each in group),
                return_exceptions=True,
            )
            now = self._now()
            for message, result in zip(group, results, strict=True):
                if isinstance(result, BaseException) and not isinstance(result, Exception):
                    raise result
                patience_seconds = self._patience_seconds
                verdict = judge(
                    message, result, is_baseline=is_old(message), now=now, patience_seconds=patience_seconds
                )
                verdicts.append((message, verdict))
                self._log_failure(message, result, verdict)
        return verdicts

    def _log_failure(self, message: PendingMessage, result: Described | Exception | None, verdict: Verdict) -> None:
        if not isinstance(result, Exception):
            return
        values = {"account_id": self._account_id, "message_id": message.ref.message_id, "error": type(result).__name__}
        if verdict.postponed is not None:
            log.info("message_not_described", attempt=verdict.postponed.message.attempts, **values)
        elif verdict.arrival is not None:
            log.warning("message_unreadable", **values)


class _Attempt:
    """One attempt at some messages: mailboxes with which the mail server has trouble keep no others waiting."""

    def __init__(self, source: MailSource, now: Callable[[], datetime]) -> None:
        self._source = source
        self._now = now
        self._began = now()
        self._in_trouble: set[str] = set()

    async def at(self, message: PendingMessage, rules: Sequence[Rule]) -> Described | None:
        """None where the mail server has refused another message of this mailbox, and took its time."""
        mailbox = message.ref.mailbox
        if mailbox in self._in_trouble and self._now() - self._began > _TROUBLE_PATIENCE:
            return None
        try:
            return await self._described(message, rules)
        except NotReady:
            raise
        except SourceUnavailable:
            self._in_trouble.add(mailbox)
            raise

    async def _described(self, message: PendingMessage, rules: Sequence[Rule]) -> Described:
        summary = await self._source.describe(message.ref)
        if not rules:
            return Described(summary)
        ruled = RuledMessage.of(
            [summary.from_, summary.sender],
            [*summary.to, *summary.cc],
            summary.subject,
            has_attachments=summary.has_attachments,
        )
        attachments = await self._attachments(message) if needs_attachments(rules, ruled) else None
        return Described(summary, tuple(firings(rules, ruled, attachments)))

    async def _attachments(self, message: PendingMessage) -> Sequence[Attachment] | None:
        """None where they can never be read; what may pass is raised, and tried again with the description."""
        try:
            return await self._source.list(message.ref)
        except MessageNotFound:
            raise
        except Exception as error:
            if not is_final(message, error):
                raise
            log.warning("attachments_unreadable", message_id=message.ref.message_id, error=type(error).__name__)
            return None
