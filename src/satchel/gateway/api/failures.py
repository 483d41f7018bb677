"""Turns every failure of a call into the one envelope, with the headers that belong to it (contract section 4)."""

import re
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from satchel.contract.errors import ApiError, BadRequest, Link, NotFound, Reason, encode_error, error_class
from satchel.contract.headers import retry_after

_HOST = re.compile(r"[A-Za-z0-9.\-_]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_MAX_ECHOED_BODY_BYTES = 64 * 1024
# What a URL may hold as it is (RFC 3986), percent signs included, since the request's own escapes stay.
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~-._"

Headers = list[tuple[bytes, bytes]]


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's value; the first, where there are several."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def base_url(scope: Scope, public_url: str | None) -> str:
    """Scheme and host as the client knows them: from the Host header unless a public URL is set."""
    if public_url is not None:
        return public_url
    host = header(scope, b"host") or ""
    if not _HOST.fullmatch(host):
        server = scope.get("server") or ("localhost", None)
        host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
    return f"{scope.get('scheme', 'http')}://{host}"


def asked_path(scope: Scope) -> str:
    """What a client asked for behind the host: path and query."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    return quote(path + (b"?" + query if query else b""), safe=_URL_CHARACTERS)


async def origin_of(scope: Scope, receive: Receive, public_url: str | None) -> Link:
    """The failed request as `_links.origin` names it; of a POST with its JSON body, if that is small and no secret."""
    echoes = scope["method"] == "POST" and not scope["state"].get("body_is_private", False)
    body = await _json_body(scope, receive) if echoes else None
    return Link(base_url(scope, public_url) + asked_path(scope), scope["method"], body)


async def _json_body(scope: Scope, receive: Receive) -> Any:
    read: bytes | None = scope["state"].get("body")
    body = await _unread_body(scope, receive) if read is None else read
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # As it came: what could just be decoded may be nested too deeply to be encoded again.
    return msgspec.Raw(body)


async def _unread_body(scope: Scope, receive: Receive) -> bytes:
    """The body of a call that failed before anybody read it; nothing where it is large, or nobody knows how large."""
    length = header(scope, b"content-length") or ""
    if not (length.isascii() and length.isdigit()) or not 0 < int(length[:9]) <= _MAX_ECHOED_BODY_BYTES:
        return b""
    body = b""
    more = True
    while more and len(body) <= _MAX_ECHOED_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def from_http(error: HTTPException) -> ApiError:
    """The failure that HTTP itself knows: no such path or method there, or a range behind the end."""
    if error.status_code == 404:
        return NotFound("No such path.")
    if error.status_code == 405:
        return BadRequest("This path does not know this method.", status=405, reason=Reason.METHOD_NOT_ALLOWED)
    if error.status_code == 416:
        return BadRequest("The range lies behind the end of the file.", status=416, reason=Reason.RANGE_NOT_SATISFIABLE)
    return error_class(error.status_code)("The request cannot be answered.", status=error.status_code)


def internal_error() -> ApiError:
    return ApiError("The gateway met an error of its own. Quote the request id when you report it.")


def failure_headers(error: ApiError, extra: dict[str, str] | None = None) -> Headers:
    """The headers that a status calls for: who to be, when to come back."""
    headers = [(b"content-type", b"application/json")]
    if error.status == 401 and error.reason != Reason.UPSTREAM_UNAVAILABLE:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", retry_after(error.retry_after_seconds).encode()))
    headers.extend((name.lower().encode(), value.encode("latin-1")) for name, value in (extra or {}).items())
    return headers


async def answer_failure(
    error: ApiError,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    public_url: str | None,
    extra_headers: dict[str, str] | None = None,
) -> None:
    """Send the envelope of a failure, as a whole answer, and leave its reason with the caller for the audit trail."""
    state = scope["state"]
    request_id: str | None = state.get("request_id")
    if (caller := state.get("caller")) is not None:
        caller.refusal = error.reason
    body = encode_error(error, await origin_of(scope, receive, public_url), request_id)
    headers = [*failure_headers(error, extra_headers), (b"content-length", str(len(body)).encode())]
    start: Message = {"type": "http.response.start", "status": error.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
