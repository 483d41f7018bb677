"""The HTTP API: routes, each with its scopes and cost from the contract, and one answer shape for every failure."""

from collections.abc import Awaitable, Callable

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from satchel import __version__
from satchel.contract.attachments import AttachmentList
from satchel.contract.errors import ApiError, BadRequest
from satchel.contract.ranges import RangeNotSatisfiable
from satchel.contract.routes import DOWNLOAD_ARCHIVE, DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS, Route
from satchel.gateway.admission import AccountMessage, Admission
from satchel.gateway.api.archive import ArchiveResponse, Archives
from satchel.gateway.api.boundary import Boundary
from satchel.gateway.api.download import DownloadResponse, conditional_headers, plan_download
from satchel.gateway.api.failures import answer_failure, from_http, header
from satchel.gateway.recorder import Recorder
from satchel.gateway.service import AttachmentService

Ready = Callable[[], Awaitable[dict[str, bool]]]
# Counts of calls that are shared with other gateways: while they are lost each process counts by itself, and serves.
_ADVISORY_CHECKS = frozenset({"redis"})


def build_application(
    admission: Admission,
    service: AttachmentService,
    ready: Ready,
    *,
    public_url: str | None = None,
    recorder: Recorder | None = None,
    archives_at_once: int = 16,
) -> ASGIApp:
    """The API as an ASGI application. `ready` says of each part that the gateway needs whether it works."""
    application = FastAPI(
        title="Satchel gateway",
        version=__version__,
        # FastAPI's own pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_attachments(application, admission, service, Archives(service, at_once=archives_at_once))
    _add_health(application, ready)
    _add_failures(application, public_url)
    application.add_middleware(Boundary, public_url=public_url, recorder=recorder)
    return application


def _add_attachments(
    application: FastAPI, admission: Admission, service: AttachmentService, archives: Archives
) -> None:
    async def admitted(request: Request, route: Route, message_id: str) -> AccountMessage:
        authorization = header(request.scope, b"authorization")
        return await admission.admit(authorization, route, message_id, request.scope["state"]["caller"])

    async def list_attachments(request: Request, message_id: str) -> Response:
        """All attachments of a message, in one answer."""
        message = await admitted(request, LIST_ATTACHMENTS, message_id)
        attachments = await service.list(message)
        return _json(AttachmentList(list(attachments)))

    async def download_attachment(request: Request, message_id: str, attachment_id: str) -> Response:
        """The bytes of a `fileAttachment`, streamed."""
        message = await admitted(request, DOWNLOAD_ATTACHMENT, message_id)
        content = await service.open(message, attachment_id)
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

    async def download_archive(request: Request, message_id: str) -> Response:
        """All files of a message as one ZIP, streamed, with a manifest."""
        message = await admitted(request, DOWNLOAD_ARCHIVE, message_id)
        return ArchiveResponse(await archives.open(message))

    for route, endpoint in (
        (LIST_ATTACHMENTS, list_attachments),
        (DOWNLOAD_ATTACHMENT, download_attachment),
        (DOWNLOAD_ARCHIVE, download_archive),
    ):
        _add_route(application, route.path, endpoint, route.methods, "attachments")


def _add_health(application: FastAPI, ready: Ready) -> None:
    async def healthz() -> Response:
        """Whether the process runs."""
        return _json({"status": "ok"})

    async def readyz() -> Response:
        """Whether the process can do its work."""
        checks = await ready()
        is_ready = all(is_well for name, is_well in checks.items() if name not in _ADVISORY_CHECKS)
        return _json({"status": "ready" if is_ready else "not_ready", "checks": checks}, 200 if is_ready else 503)

    for path, endpoint in (("/healthz", healthz), ("/readyz", readyz)):
        _add_route(application, path, endpoint, ("GET", "HEAD"), "health")


def _add_route(
    application: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]], methods: tuple[str, ...], tag: str
) -> None:
    # Two routes, because one with two methods would appear in the schema twice under one operation id. The first
    # takes every request, so that a 405 names all methods; the second is there to be described.
    for is_described in (False, True):
        application.add_api_route(
            path,
            endpoint,
            methods=list(methods[:1] if is_described else methods),
            response_class=Response,
            operation_id=endpoint.__name__,
            include_in_schema=is_described,
            tags=[tag],
        )


def _add_failures(application: FastAPI, public_url: str | None) -> None:
    async def on_api_error(request: Request, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return FailureResponse(error, public_url)
        if isinstance(error, HTTPException):
            return FailureResponse(from_http(error), public_url, dict(error.headers or {}))
        return FailureResponse(BadRequest("The request is malformed."), public_url)

    for kind in (ApiError, HTTPException, RequestValidationError):
        application.add_exception_handler(kind, on_api_error)


class FailureResponse(Response):
    """A failure as an answer."""

    def __init__(self, error: ApiError, public_url: str | None, extra_headers: dict[str, str] | None = None) -> None:
        super().__init__(status_code=error.status)
        self._error = error
        self._public_url = public_url
        self._extra_headers = extra_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_failure(
            self._error, scope, receive, send, public_url=self._public_url, extra_headers=self._extra_headers
        )


def _range_refused(size: int | None) -> HTTPException:
    return HTTPException(416, headers={"Content-Range": f"bytes */{size}"})


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
