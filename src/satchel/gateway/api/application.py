"""The HTTP API as one ASGI application: its operations, and the layers that every call passes."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp

from satchel.gateway.admission import Admission
from satchel.gateway.api.archive import Archives
from satchel.gateway.api.attachments import attachment_operations
from satchel.gateway.api.boundary import NOBODY, Boundary, Observers
from satchel.gateway.api.docs_page import docs_operations
from satchel.gateway.api.health import Ready, health_operations
from satchel.gateway.api.holding import Holding
from satchel.gateway.api.mailboxes import mailbox_operations
from satchel.gateway.api.reports import report_operations
from satchel.gateway.api.routing import Failures, Operation, build_router
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the API behaves, from the settings."""

    public_url: str | None = None
    archive_threads: int = 16
    not_found_hold_seconds: float = 0.0
    docs_page: bool = True


DEFAULTS = ApiOptions()


def build_application(
    admission: Admission,
    service: AttachmentService,
    reporting: Reporting,
    ready: Ready,
    *,
    options: ApiOptions = DEFAULTS,
    observers: Observers = NOBODY,
    others: Sequence[Operation] = (),
) -> ASGIApp:
    """The API as an ASGI application. `ready` says of each part that the gateway needs whether it works; `others` are
    operations beside the API's own."""
    archives = Archives(service, threads=options.archive_threads)
    operations = build_operations(admission, service, archives, reporting, ready, options)
    holding = Holding(options.not_found_hold_seconds)
    failures = Failures(build_router((*operations, *others)), public_url=options.public_url, holding=holding)
    return Boundary(failures, public_url=options.public_url, observers=observers)


def build_operations(
    admission: Admission,
    service: AttachmentService,
    archives: Archives,
    reporting: Reporting,
    ready: Ready,
    options: ApiOptions = DEFAULTS,
) -> tuple[Operation, ...]:
    """Every operation; those that are asked for most come first."""
    described = (
        *attachment_operations(admission, service, archives),
        *report_operations(admission, reporting, public_url=options.public_url),
        *mailbox_operations(admission, reporting),
        *health_operations(ready),
    )
    return (*described, *docs_operations(described)) if options.docs_page else described
