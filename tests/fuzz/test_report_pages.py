"""Whatever a server sends, the client makes values of it or says that it is no answer of this API."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from satchel.client.errors import ClientError, UnexpectedAnswer
from satchel.client.pages import ReportPage, decode_mailboxes, decode_page
from satchel.client.reports import Ask, Walk
from satchel.contract.errors import Link
from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.mailboxes import Mailbox, MailboxList
from satchel.contract.reports import ReceivedMessage, Result, ResultEnvelope, ResultLinks, RunStatus

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
recipients = st.builds(Recipient, st.builds(EmailAddress, st.text(), st.text()))
rows = st.builds(
    ReceivedMessage,
    id=st.integers(0, 2**63 - 1),
    message_id=st.text(),
    internet_message_id=st.text(),
    conversation_id=st.text(),
    mailbox_id=st.text(),
    received=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    sender=recipients,
    from_=recipients,
    subject=st.text(),
    has_attachments=st.booleans(),
    to=st.lists(recipients, max_size=3) | st.just(msgspec.UNSET),
    cc=st.lists(recipients, max_size=3) | st.just(msgspec.UNSET),
)


def like_an_envelope(fields: Any) -> dict[str, Any]:
    """Anything, in the places where an envelope has something."""
    row, links, status, error, rest = fields
    return {"status": status, "_links": links, "result": {"data": [row]}, "error": error, "progress": rest}


row_like = st.fixed_dictionaries(
    {"id": st.integers() | st.text() | anything, "messageId": st.text() | anything},
    optional=dict.fromkeys(
        ("received", "sender", "from", "to", "cc", "subject", "hasAttachments", "conversationId"), anything
    ),
)
envelopes = st.tuples(
    row_like | anything,
    st.fixed_dictionaries({}, optional={"self": anything, "next": anything}) | anything,
    st.sampled_from(list(RunStatus)) | st.text() | anything,
    anything,
    anything,
).map(like_an_envelope)


@given((envelopes | anything).map(msgspec.json.encode) | st.binary())
@example(b'{"status":"done","result":{"data":[{"id":"\xd9\xa3","messageId":"x"}]}}')
@example(b'{"status":' + b"[" * 100_000)
def test_any_bytes_are_a_page_or_none(body: bytes) -> None:
    try:
        page = decode_page(body)
    except ValueError as error:
        assert "no answer of this API" in str(error)  # noqa: PT017 - it may also be a page
        return
    assert isinstance(page, ReportPage)
    assert 0 <= page.progress <= 100
    for row in page.rows:
        assert 0 <= row.id < 2**63
        assert row.received.tzinfo is not None
        msgspec.json.encode(row)
    walk = Walk()
    try:
        given_out = walk.take(page)
        step = walk.after(page, 0.5)
    except ClientError:
        return
    assert given_out == [] or page.status is RunStatus.DONE
    assert not isinstance(step, Ask) or step.href in {page.self_href, page.next_href}


@given((anything | st.fixed_dictionaries({"mailboxes": st.lists(anything)})).map(msgspec.json.encode) | st.binary())
def test_any_bytes_are_a_list_of_mailboxes_or_none(body: bytes) -> None:
    try:
        found = decode_mailboxes(body)
    except ValueError as error:
        assert "no answer of this API" in str(error)  # noqa: PT017 - it may also be a list
        return
    assert all(isinstance(each, Mailbox) for each in found)


@given(st.lists(rows, max_size=5), st.sampled_from(RunStatus), st.integers(0, 100))
def test_what_our_server_says_comes_out_as_it_went_in(
    told: list[ReceivedMessage], status: RunStatus, progress: int
) -> None:
    links = ResultLinks(self_=Link("/s", "GET"), origin=Link("/o", "POST", {}), next=Link("/n", "GET"))
    envelope = ResultEnvelope(links=links, status=status, progress=progress, result=Result(data=told, total=5))
    page = decode_page(msgspec.json.encode(envelope))
    assert (page.status, page.progress, page.self_href, page.next_href) == (status, progress, "/s", "/n")
    assert page.rows == told


@given(st.lists(st.builds(Mailbox, mailbox_id=st.text(), mailbox_name=st.text(min_size=1), mailbox_email=st.text())))
def test_mailboxes_come_out_as_they_went_in(told: list[Mailbox]) -> None:
    assert decode_mailboxes(msgspec.json.encode(MailboxList(told))) == told


@given(st.lists(st.lists(st.integers(1, 40), max_size=6), max_size=8))
def test_no_row_is_given_twice_and_rows_increase(pages: list[list[int]]) -> None:
    """Whatever the pages repeat: as long as each gets behind the one before, all that is new comes."""
    walk, last = Walk(), 0
    for numbers in pages:
        body = {"status": "done", "result": {"data": [{"id": n, "messageId": "m"} for n in sorted(set(numbers))]}}
        page = decode_page(msgspec.json.encode(body))
        if numbers and max(numbers) <= last:
            with pytest.raises(UnexpectedAnswer, match="lead nowhere"):
                walk.take(page)
            return
        taken = [row.id for row in walk.take(page)]
        assert taken == [number for number in sorted(set(numbers)) if number > last]
        last = max([last, *taken])
