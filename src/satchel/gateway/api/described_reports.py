"""What the OpenAPI document says of the calls for mailboxes and reports."""

from datetime import UTC, datetime

import msgspec

from satchel.contract.errors import Link
from satchel.contract.events import EmailAddress, Recipient
from satchel.contract.mailboxes import Mailbox, MailboxList
from satchel.contract.reports import ReceivedMessage, Result, ResultEnvelope, ResultLinks, RunStatus
from satchel.contract.routes import REPORT_RECEIVED_MESSAGES, REPORT_RESULTS
from satchel.gateway.api.described_report_parts import report_body
from satchel.gateway.api.description import (
    EXAMPLE_HOST,
    EXAMPLE_MAILBOX_ID,
    EXAMPLE_MESSAGE_ID,
    EXAMPLE_REPORT,
    EXAMPLE_RUN_ID,
    Description,
    json_answer,
)

_RATE = ("RateLimit-Policy", "RateLimit")
_FAILURES = ("KeyRefused", "ScopeMissing", "RequestTimeout", "HeadersTooLarge", "Defect", "Stopping")
_RESULTS = EXAMPLE_HOST + REPORT_RESULTS.url(run_id=EXAMPLE_RUN_ID)
_ANN = Recipient(EmailAddress("Ann Example", "ann@example.com"))
_RUNNING = ResultEnvelope(
    links=ResultLinks(
        self_=Link(f"{_RESULTS}?max=50", "GET"),
        origin=Link(EXAMPLE_HOST + REPORT_RECEIVED_MESSAGES.path, "POST", EXAMPLE_REPORT),
    ),
    status=RunStatus.RUNNING,
    progress=0,
    result=Result(),
)
_ROW = ReceivedMessage(
    id=10027,
    message_id=EXAMPLE_MESSAGE_ID,
    internet_message_id="<20260105.1@example.com>",
    conversation_id="c-20260105-1",
    mailbox_id=EXAMPLE_MAILBOX_ID,
    received=datetime(2026, 1, 5, 8, tzinfo=UTC),
    sender=_ANN,
    from_=_ANN,
    subject="Invoice 4711",
    has_attachments=True,
)
_DONE = ResultEnvelope(
    links=ResultLinks(
        self_=_RUNNING.links.self_,
        origin=_RUNNING.links.origin,
        next=Link(f"{_RESULTS}?max=50&starting_after={_ROW.id}", "GET"),
    ),
    status=RunStatus.DONE,
    progress=100,
    result=Result(data=[_ROW], total=128, data_cutoff_timestamp=datetime(2026, 1, 5, 8, 30, tzinfo=UTC)),
)
_MAILBOX = Mailbox(
    mailbox_id=EXAMPLE_MAILBOX_ID,
    mailbox_name="Invoices",
    mailbox_email="invoices@example.com",
    time_zone="Europe/Berlin",
)

MAILBOXES = Description(
    operation_id="list_mailboxes",
    summary="List the key's mailboxes",
    text="All mailboxes that the key is for, never paginated.",
    tag="reports",
    answers={"200": json_answer("All of them.", "MailboxList", msgspec.to_builtins(MailboxList([_MAILBOX])), *_RATE)},
    failures=("BadRequest", *_FAILURES, "RateExceeded"),
    parameters=("X-Request-Id",),
)
REPORT = Description(
    operation_id="report_received_messages",
    summary="Begin a report of received messages",
    text="One row for each message that came to a mailbox in a time: how a client without webhooks finds its messages. "
    "The answer comes at once; ask at `_links.self` until `status` is `done`, then follow `_links.next`. The report "
    "tells what the index had when it began, and its pages stay as they are.",
    tag="reports",
    answers={"200": json_answer("The report has begun.", "ResultEnvelope", msgspec.to_builtins(_RUNNING), *_RATE)},
    failures=("InvalidReport", *_FAILURES, "MailboxNotFound", "TooManyReports", "BodyTooLarge"),
    parameters=("fieldGroup", "includeDetails", "max", "starting_after", "ending_before", "X-Request-Id"),
    body=report_body(),
)
RESULTS = Description(
    operation_id="report_results",
    summary="Ask for a report",
    text="How a report stands, and a page of its rows once it is done. It lives for 24 hours, for the key that began "
    "it. The links of the answers are all that is needed.",
    tag="reports",
    answers={"200": json_answer("As it stands.", "ResultEnvelope", msgspec.to_builtins(_DONE), *_RATE)},
    failures=("InvalidParameters", *_FAILURES, "ReportNotFound", "RateExceeded"),
    parameters=("runId", "max", "starting_after", "ending_before", "X-Request-Id"),
)
