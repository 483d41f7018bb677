"""The page at /docs: Swagger UI over the OpenAPI document, whole from this server. Loads nothing from other hosts."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.ranges import if_none_match, quote_etag
from satchel.contract.routes import open_route
from satchel.gateway.api.openapi import openapi_document
from satchel.gateway.api.routing import Operation, WholeResponse

DOCS = open_route("/docs")
DOCS_FILE = open_route("/docs/{name}")
OPENAPI = open_route("/openapi.json")

# Swagger UI styles elements through the DOM, which needs no 'unsafe-inline'; its icons are data: URLs in the sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked again every time, and answered with 304 as long as the gateway is the same.
    "Cache-Control": "no-cache",
}
# Relative, so that the page also works behind a proxy that puts a path before it.
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Satchel gateway: the API</title>
<link rel="icon" type="image/png" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The document itself is <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without `validatorUrl: null` Swagger UI would send the document's address to a validator of its own.
_START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""
_SWAGGER_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file to be served, and the strong validator of its bytes."""

    content: bytes
    media_type: str
    etag: str


def docs_operations(described: Sequence[Operation]) -> tuple[Operation, ...]:
    """The page, its files and the document of the operations that are given. All is made at the first call."""
    pages = _Pages(described)

    async def docs(request: Request) -> Response:
        return _answer(request, await pages.get(DOCS.path))

    async def docs_file(request: Request) -> Response:
        return _answer(request, await pages.get(f"{DOCS.path}/{request.scope['path_params']['name']}"))

    async def openapi(request: Request) -> Response:
        return _answer(request, await pages.get(OPENAPI.path))

    return Operation(DOCS, docs), Operation(DOCS_FILE, docs_file), Operation(OPENAPI, openapi)


class _Pages:
    def __init__(self, described: Sequence[Operation]) -> None:
        self._described = described
        self._pages: Mapping[str, Page] | None = None

    async def get(self, path: str) -> Page | None:
        if self._pages is None:
            self._pages = await asyncio.to_thread(_read_pages, self._described)
        return self._pages.get(path)


def _read_pages(described: Sequence[Operation]) -> dict[str, Page]:
    static = files("fastapi_offline") / "static"
    found = {f"{DOCS.path}/{name}": _page((static / name).read_bytes(), kind) for name, kind in _SWAGGER_FILES.items()}
    return found | {
        DOCS.path: _page(_PAGE.encode(), "text/html"),
        f"{DOCS.path}/start.js": _page(_START.encode(), "text/javascript"),
        OPENAPI.path: _page(msgspec.json.encode(openapi_document(described)), "application/json"),
    }


def _page(content: bytes, media_type: str) -> Page:
    return Page(content, media_type, hashlib.sha256(content).hexdigest()[:32])


def _answer(request: Request, page: Page | None) -> Response:
    if page is None:
        raise HTTPException(404)
    headers = _HEADERS | {"ETag": quote_etag(page.etag)}
    if if_none_match(request.headers.get("if-none-match"), page.etag):
        return WholeResponse(status_code=304, headers=headers)
    return WholeResponse(page.content, headers=headers, media_type=page.media_type)
