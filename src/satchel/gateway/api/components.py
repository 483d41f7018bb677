"""The schemas, headers and parameters that the operations of the OpenAPI document share.

Schemas come from the types that are encoded, so that they say what is sent.
"""

import msgspec

from satchel.contract.attachments import AttachmentList, AttachmentType
from satchel.contract.errors import ErrorEnvelope, Reason
from satchel.contract.headers import RateLimitState
from satchel.gateway.api.described_report_parts import (
    REPORT_FIELDS,
    REPORT_SCHEMA_TEXTS,
    REPORT_TYPES,
    report_parameters,
    report_requests,
)
from satchel.gateway.api.description import EXAMPLE_ATTACHMENT_ID, EXAMPLE_MESSAGE_ID, EXAMPLE_REQUEST_ID, Json
from satchel.gateway.api.health import HealthReport, ReadinessReport

# Unreserved characters and `=`: what stands in a path as it is (contract section 1).
_ID_PATTERN = "^[A-Za-z0-9._~=-]+$"


def headers() -> dict[str, Json]:
    """Header Objects of answers."""
    text: Json = {"type": "string"}
    number: Json = {"type": "integer", "minimum": 0}
    etag: Json = {"type": "string", "pattern": '^"[!#-~]*"$'}
    policy = RateLimitState(100, 60, 42, 18).headers()
    told = {
        "X-Request-Id": (
            "Names this call in the gateway's log; the caller's own, if that was sane.",
            {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
            EXAMPLE_REQUEST_ID,
        ),
        "RateLimit-Policy": ("The account's rate: calls (q) in so many seconds (w).", text, policy["RateLimit-Policy"]),
        "RateLimit": ("What is left of it (r), and when there is more (t seconds).", text, policy["RateLimit"]),
        "Retry-After": ("Seconds to wait before the same call may succeed.", number, 18),
        "WWW-Authenticate": ("There where a better key would help.", {"const": "Bearer"}, "Bearer"),
        "ETag": ("A strong validator of the file, the same after a restart.", etag, '"k3v9"'),
        "Repr-Digest": (
            "SHA-256 of the whole file (RFC 9530), where it is known beforehand. Of a file of unknown length it comes "
            "as a trailer, to clients that send `TE: trailers`.",
            {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
            "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
        ),
        "Accept-Ranges": (
            "`bytes` where parts can be asked for.",
            {"type": "string", "enum": ["bytes", "none"]},
            "bytes",
        ),
        "Content-Range": (
            "Which bytes of how many these are.",
            {"type": "string", "pattern": r"^bytes (\d+-\d+|\*)/\d+$"},
            "bytes 0-1023/245678",
        ),
        "Content-Length": ("The exact number of bytes that follow.", number, 245_678),
        "Content-Disposition": (
            "The file's name made safe (RFC 6266).",
            {"type": "string", "pattern": "^attachment; filename"},
            'attachment; filename="invoice.pdf"',
        ),
        "X-Content-Type-Options": ("Browsers are not to guess the type.", {"const": "nosniff"}, "nosniff"),
    }
    return {
        name: {"description": words, "schema": schema, "example": example} | _required(name)
        for name, (words, schema, example) in told.items()
    }


def _required(header: str) -> Json:
    return {"required": True} if header == "X-Request-Id" else {}


def parameters() -> dict[str, Json]:
    """Parameter Objects of requests. Conditional headers that make no sense are ignored, as RFC 9110 asks."""
    ids = {
        "messageId": ("The message's id: `id` of a webhook.", EXAMPLE_MESSAGE_ID),
        "attachmentId": ("The attachment's id: `id` of the list.", EXAMPLE_ATTACHMENT_ID),
    }
    conditions = {
        "Range": ("The part to send: one range of bytes. Several ranges answer the whole.", "bytes=1024-"),
        "If-Range": ("An ETag: a file that has changed is sent as a whole.", '"k3v9"'),
        "If-None-Match": ("ETags that the client has already: then 304.", '"k3v9"'),
        "If-Match": ("ETags that the file must have: else 412.", '"k3v9"'),
        "X-Request-Id": ("Up to 64 characters of `A-Z a-z 0-9 . _ -`; any other is replaced.", "order-4711"),
    }
    id_schema = {"type": "string", "pattern": _ID_PATTERN, "minLength": 1}
    return (
        {
            name: {
                "name": name,
                "in": "path",
                "required": True,
                "description": text,
                "schema": id_schema,
                "example": example,
            }
            for name, (text, example) in ids.items()
        }
        | {
            name: {"name": name, "in": "header", "description": text, "schema": {"type": "string"}, "example": example}
            for name, (text, example) in conditions.items()
        }
        | report_parameters()
    )


_FIELDS: dict[str, dict[str, Json]] = {
    "AttachmentList": {"attachments": {}},
    "Attachment": {
        "id": {"description": "For the download call.", "pattern": _ID_PATTERN},
        "name": {"description": "The original file name. It comes from mail and may be hostile: no path, no header."},
        "contentType": {"description": "Lower case, without parameters."},
        "size": {"description": "Bytes; exact for local mail.", "minimum": 0},
        "attachmentType": {
            "description": "Only a `fileAttachment` can be downloaded.",
            "enum": [kind.value for kind in AttachmentType],
        },
        "isInline": {"description": "Whether the message's text shows it."},
        "contentId": {"description": "Its Content-ID, where the source knows it."},
        "lastModified": {"description": "Where the source knows it.", "format": "date-time"},
    },
    "ErrorEnvelope": {"_links": {}, "status": {"const": "error"}, "error": {}},
    "Links": {"origin": {"description": "The failed request."}},
    "Link": {
        "href": {"description": "Empty where the request could not be read."},
        "method": {},
        "body": {"description": "There for POST only."},
    },
    "ErrorDetail": {
        "code": {"description": "The HTTP status.", "pattern": "^[1-5][0-9]{2}$"},
        "message": {"description": "For people; it may change."},
        "reason": {"description": "For programs; stable.", "enum": [reason.value for reason in Reason]},
        "requestId": {"description": "As `X-Request-Id`."},
    },
    "HealthReport": {"status": {"const": "ok"}},
    "ReadinessReport": {
        "status": {"enum": ["ready", "not_ready"]},
        "checks": {"description": "By the names of the parts. Whether `redis` works is told, and no matter."},
    },
    **REPORT_FIELDS,
}
_SCHEMA_TEXTS = {
    "AttachmentList": "All attachments of a message.",
    "Attachment": "One attachment. A field that the source does not know is left out.",
    "ErrorEnvelope": "The body of every failure.",
    "Links": "",
    "Link": "A call.",
    "ErrorDetail": "Why the call failed.",
    "HealthReport": "The process runs.",
    "ReadinessReport": "Which parts work.",
    **REPORT_SCHEMA_TEXTS,
}


def schemas() -> dict[str, Json]:
    """The JSON Schemas of all bodies, from the types that are encoded; `_FIELDS` says what types cannot."""
    types = [AttachmentList, ErrorEnvelope, HealthReport, ReadinessReport, *REPORT_TYPES]
    _, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return {name: _completed(name, schema) for name, schema in found.items()} | report_requests()


def _completed(name: str, schema: Json) -> Json:
    properties = {
        field: _present(field_schema) | _FIELDS[name][field] for field, field_schema in schema["properties"].items()
    }
    return schema | {"description": _SCHEMA_TEXTS[name], "properties": properties}


def _present(schema: Json) -> Json:
    """What a field is when it is there: the encoder leaves out what is None."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    schema = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return schema | (kinds[0] if kinds else {})


SECURITY_SCHEMES: dict[str, Json] = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key with the scopes that the call names. `satchel gateway keys create` makes one.",
    }
}
