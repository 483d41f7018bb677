"""The calls of reports: one to begin, one for how it stands and its pages (contract section 11)."""

from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.routes import REPORT_RECEIVED_MESSAGES, REPORT_RESULTS, Route
from satchel.gateway.access import KeyRecord
from satchel.gateway.admission import Admission
from satchel.gateway.api.bodies import read_body
from satchel.gateway.api.described_reports import REPORT, RESULTS
from satchel.gateway.api.failures import asked_path, base_url, header
from satchel.gateway.api.routing import Operation, json_response
from satchel.gateway.reports.parameters import read_page, read_query, read_report
from satchel.gateway.reports.reporting import Origin, Reporting

# Kept with its report for a day; what is known of takes a few hundred.
MAX_BODY_BYTES = 16 * 1024


def report_operations(admission: Admission, reporting: Reporting, *, public_url: str | None) -> tuple[Operation, ...]:
    """The calls; each is admitted before anything of it is read."""

    async def admitted(request: Request, route: Route) -> KeyRecord:
        scope = request.scope
        return await admission.admit_call(header(scope, b"authorization"), route, scope["state"]["caller"])

    async def report_received_messages(request: Request) -> Response:
        key = await admitted(request, REPORT_RECEIVED_MESSAGES)
        body = await read_body(request, MAX_BODY_BYTES)
        scope = request.scope
        asked = read_report(read_query(scope["query_string"]), body)
        origin = Origin(base_url(scope, public_url), asked_path(scope), body.decode())
        return json_response(await reporting.begin(key, asked, origin))

    async def report_results(request: Request) -> Response:
        key = await admitted(request, REPORT_RESULTS)
        scope = request.scope
        page = read_page(read_query(scope["query_string"]))
        run_id = scope["path_params"]["run_id"]
        return json_response(await reporting.result(key, run_id, page, base_url(scope, public_url)))

    return (
        Operation(REPORT_RESULTS, report_results, RESULTS),
        Operation(REPORT_RECEIVED_MESSAGES, report_received_messages, REPORT),
    )
