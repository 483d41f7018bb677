"""What every `MailSource` promises of the past: `MailSource.history`, over the same mail servers."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from satchel.mail.source import MailSource, MessageSummary, SourceError, SourceUnavailable
from satchel.testing.mail import message_with_files
from tests.contracts.offices import MAILBOX, OFFICES, OTHER, PostOffice, graph_office, there

NOON = datetime(2025, 6, 3, 12, tzinfo=UTC)
EVER = (datetime(1971, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


@pytest.fixture(params=OFFICES)
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PostOffice]:
    root = tmp_path / "mail"
    root.mkdir()
    async with OFFICES[request.param](root) as opened:
        yield opened


@pytest.fixture
async def source(office: PostOffice) -> AsyncIterator[MailSource]:
    async with aclosing(office.source()) as opened:
        yield opened


def mail(number: int, received: datetime) -> bytes:
    return b"Received: from relay by mx; %b\r\nMessage-ID: <%d@x>\r\nSubject: %d\r\n\r\nHi\r\n" % (
        format_datetime(received).encode(),
        number,
        number,
    )


async def history(
    source: MailSource, since: datetime = EVER[0], until: datetime = EVER[1], mailbox: str = MAILBOX
) -> list[MessageSummary]:
    return [each async for batch in source.history(mailbox, since=since, until=until) for each in batch]


async def test_what_was_received_in_a_time_with_its_begin_and_without_its_end(
    office: PostOffice, source: MailSource
) -> None:
    for number in range(5):
        office.deliver(MAILBOX, mail(number, NOON + timedelta(hours=number)))
    found = await history(source, NOON + timedelta(hours=1), NOON + timedelta(hours=3))
    assert {each.subject: each.received for each in found} == {
        "1": NOON + timedelta(hours=1),
        "2": NOON + timedelta(hours=2),
    }


async def test_it_says_what_describe_says_under_the_same_ids(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, mail(1, NOON))
    office.deliver(MAILBOX, message_with_files(1, 1, 10).to_bytes())
    found = {each.ref.message_id: each for each in await history(source)}
    assert found == {ref.message_id: await source.describe(ref) for ref in await there(source)}
    assert sorted(each.has_attachments for each in found.values()) == [False, True]


async def test_no_message_of_many_is_missing_or_comes_twice(office: PostOffice, source: MailSource) -> None:
    for number in range(450):
        # Some of them in the same second.
        office.deliver(MAILBOX, mail(number, NOON + timedelta(seconds=number // 3)))
    found = await history(source, NOON, NOON + timedelta(seconds=140))
    assert sorted(int(each.subject) for each in found) == list(range(420))
    assert len({each.ref.message_id for each in found}) == 420


async def test_mail_of_another_mailbox_is_not_in_it(office: PostOffice, source: MailSource) -> None:
    office.deliver(OTHER, mail(1, NOON))
    office.deliver(MAILBOX, mail(2, NOON))
    assert [each.subject for each in await history(source)] == ["2"]
    assert [each.ref.mailbox for each in await history(source, mailbox=OTHER)] == [OTHER]


async def test_a_mailbox_that_is_not_there_has_no_history(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, mail(1, NOON))
    found: list[MessageSummary] = []
    with suppress(SourceError):
        found = await history(source, mailbox="nobody@example.com")
    assert found == []


async def test_the_watch_hears_nothing_of_it(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, mail(1, NOON))
    before = await history(source)
    assert [ref.message_id for ref in await there(source)] == [each.ref.message_id for each in before]
    assert await history(source) == before


async def test_what_is_gone_is_not_in_it(office: PostOffice, source: MailSource) -> None:
    office.deliver(MAILBOX, mail(1, NOON))
    office.burn(MAILBOX)
    assert await history(source) == []


async def test_a_mailbox_of_microsoft_365_that_is_refused_says_so(tmp_path: Path) -> None:
    async with graph_office(tmp_path) as office, aclosing(office.source()) as source:
        office.deliver(MAILBOX, mail(1, NOON))
        office.simulator.add_mailbox(MAILBOX, refused=True)
        with pytest.raises(SourceUnavailable) as refused:
            await history(source)
        assert refused.value.upstream_status == 403
        with pytest.raises(SourceError, match="404"):
            await history(source, mailbox=OTHER)
