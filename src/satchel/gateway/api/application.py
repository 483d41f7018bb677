"""The HTTP API as one ASGI application: its operations, and the layers that every call passes."""

from collections.abc import Sequence

from starlette.types import ASGIApp

from satchel.gateway.admission import Admission
from satchel.gateway.api.archive import Archives
from satchel.gateway.api.attachments import attachment_operations
from satchel.gateway.api.boundary import NOBODY, Boundary, Observers
from satchel.gateway.api.docs_page import docs_operations
from satchel.gateway.api.health import Ready, health_operations
from satchel.gateway.api.holding import Holding
from satchel.gateway.api.routing import Failures, Operation, build_router
from satchel.gateway.service import AttachmentService


def build_application(
    admission: Admission,
    service: AttachmentService,
    ready: Ready,
    *,
    public_url: str | None = None,
    observers: Observers = NOBODY,
    archive_threads: int = 16,
    not_found_hold_seconds: float = 0.0,
    docs_page: bool = True,
    others: Sequence[Operation] = (),
) -> ASGIApp:
    """The API as an ASGI application. `ready` says of each part that the gateway needs whether it works; `others` are
    operations beside the API's own."""
    archives = Archives(service, threads=archive_threads)
    router = build_router((*build_operations(admission, service, archives, ready, docs_page=docs_page), *others))
    failures = Failures(router, public_url=public_url, holding=Holding(not_found_hold_seconds))
    return Boundary(failures, public_url=public_url, observers=observers)


def build_operations(
    admission: Admission, service: AttachmentService, archives: Archives, ready: Ready, *, docs_page: bool = True
) -> tuple[Operation, ...]:
    """Every operation; those that are asked for most come first."""
    described = (*attachment_operations(admission, service, archives), *health_operations(ready))
    return (*described, *docs_operations(described)) if docs_page else described
