"""Reads the body of a request, once: what was read stays at hand for the envelope of a failure."""

from starlette.requests import ClientDisconnect, Request

from satchel.contract.errors import BadRequest


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Raises BadRequest where it is larger, with status 413, or ends early."""
    # Nothing is echoed of a body that did not come whole.
    request.scope["state"]["body"] = b""
    parts: list[bytes] = []
    size_bytes = 0
    try:
        async for part in request.stream():
            size_bytes += len(part)
            if size_bytes > max_bytes:
                raise BadRequest(f"The body is too large: at most {max_bytes // 1024} KiB are read.", status=413)
            parts.append(part)
    except ClientDisconnect:
        raise BadRequest("The body ended early.") from None
    body = b"".join(parts)
    request.scope["state"]["body"] = body
    return body
