"""The calls about a message's attachments: the list, one file, all files as an archive (contract sections 5 to 7)."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.attachments import AttachmentList
from satchel.contract.ranges import RangeNotSatisfiable
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS, Route
from satchel.gateway.admission import AccountMessage, Admission
from satchel.gateway.api.archive import ArchiveResponse, Archives
from satchel.gateway.api.described_attachments import ARCHIVE, DOWNLOAD, LIST
from satchel.gateway.api.download import DownloadResponse, conditional_headers, plan_download
from satchel.gateway.api.failures import header
from satchel.gateway.api.routing import Operation, json_response
from satchel.gateway.service import AttachmentService


def attachment_operations(
    admission: Admission, service: AttachmentService, archives: Archives
) -> tuple[Operation, ...]:
    """The calls; each is admitted first."""

    async def admitted(request: Request, route: Route) -> AccountMessage:
        scope = request.scope
        message_id = scope["path_params"]["message_id"]
        return await admission.admit(header(scope, b"authorization"), route, message_id, scope["state"]["caller"])

    async def list_attachments(request: Request) -> Response:
        message = await admitted(request, LIST_ATTACHMENTS)
        return json_response(AttachmentList(list(await service.list(message))))

    async def download_attachment(request: Request) -> Response:
        message = await admitted(request, DOWNLOAD_ATTACHMENT)
        content = await service.open(message, request.scope["path_params"]["attachment_id"])
        try:
            version = request.scope["http_version"]
            plan = plan_download(content, conditional_headers(request), http_version=version)
            return DownloadResponse(content, plan)
        except BaseException as error:
            size = content.size
            await content.aclose()
            if isinstance(error, RangeNotSatisfiable):
                raise _range_refused(size) from None
            raise

    async def download_archive(request: Request) -> Response:
        message = await admitted(request, DOWNLOAD_ARCHIVE)
        return ArchiveResponse(await archives.open(message))

    return (
        Operation(LIST_ATTACHMENTS, list_attachments, LIST),
        Operation(DOWNLOAD_ATTACHMENT, download_attachment, DOWNLOAD),
        Operation(DOWNLOAD_ARCHIVE, download_archive, ARCHIVE),
    )


def _range_refused(size: int | None) -> HTTPException:
    return HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
