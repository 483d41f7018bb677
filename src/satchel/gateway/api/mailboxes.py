"""The call for the mailboxes of a key (contract section 10)."""

from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.mailboxes import MailboxList
from satchel.contract.routes import LIST_MAILBOXES
from satchel.gateway.admission import Admission
from satchel.gateway.api.described_reports import MAILBOXES
from satchel.gateway.api.failures import header
from satchel.gateway.api.routing import Operation, json_response
from satchel.gateway.reports.reporting import Reporting


def mailbox_operations(admission: Admission, reporting: Reporting) -> tuple[Operation, ...]:
    """The call; it is admitted first."""

    async def list_mailboxes(request: Request) -> Response:
        scope = request.scope
        key = await admission.admit_call(header(scope, b"authorization"), LIST_MAILBOXES, scope["state"]["caller"])
        return json_response(MailboxList(list(await reporting.mailboxes(key))))

    return (Operation(LIST_MAILBOXES, list_mailboxes, MAILBOXES),)
