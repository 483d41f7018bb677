"""What the OpenAPI document says of the calls about a message's attachments."""

import msgspec

from satchel.contract.attachments import Attachment, AttachmentList, AttachmentType
from satchel.gateway.api.description import EXAMPLE_ATTACHMENT_ID, Description, Json, header_refs, json_answer

_EXAMPLE = AttachmentList(
    [
        Attachment(
            id=EXAMPLE_ATTACHMENT_ID,
            name="invoice.pdf",
            content_type="application/pdf",
            size=245_678,
            attachment_type=AttachmentType.FILE.value,
            is_inline=False,
        ),
        Attachment(
            id="MS4z",
            name="Order.eml",
            content_type="message/rfc822",
            size=18_231,
            attachment_type=AttachmentType.ITEM.value,
            is_inline=False,
        ),
    ]
)
# Every call with a key may fail so.
_FAILURES = (
    "BadRequest",
    "Unauthorized",
    "NotFound",
    "RequestTimeout",
    "TooManyRequests",
    "HeadersTooLarge",
    "ServerFailure",
    "BadGateway",
    "GatewayTimeout",
    "UpstreamFailure",
)
_RATE = ("RateLimit-Policy", "RateLimit")
_FILE = (
    *(*_RATE, "ETag", "Repr-Digest"),
    *("Accept-Ranges", "Content-Length", "Content-Disposition", "X-Content-Type-Options"),
)
_ANY_BYTES: Json = {"application/octet-stream": {}, "*/*": {}}


def _link(operation_id: str, text: str, **parameters: str) -> Json:
    return {"operationId": operation_id, "description": text, "parameters": parameters}


_LIST_ANSWER = json_answer(
    "All attachments, however many there are.",
    "AttachmentList",
    msgspec.to_builtins(_EXAMPLE),
    *_RATE,
) | {
    "links": {
        "download": _link(
            "download_attachment",
            "The bytes of one of them.",
            messageId="$request.path.messageId",
            attachmentId="$response.body#/attachments/0/id",
        ),
        "archive": _link("download_archive", "All files at once.", messageId="$request.path.messageId"),
    }
}

LIST = Description(
    operation_id="list_attachments",
    summary="List a message's attachments",
    text="The whole list in one answer, never paginated. Take what is a `fileAttachment`, and download it by its `id`.",
    tag="attachments",
    answers={"200": _LIST_ANSWER},
    failures=(*_FAILURES, "Forbidden", "Unavailable"),
    parameters=("messageId", "X-Request-Id"),
)
DOWNLOAD = Description(
    operation_id="download_attachment",
    summary="Download an attachment",
    text="The raw bytes of a `fileAttachment`, streamed from the mail server while they are sent; nothing is stored on "
    "the way. When the mail server fails in mid-body the connection is aborted, so that fewer bytes than "
    "`Content-Length` arrive: ask for the rest by `Range` and `If-Range`.",
    tag="attachments",
    answers={
        "200": {"description": "The whole file.", "headers": header_refs(*_FILE), "content": _ANY_BYTES},
        "206": {
            "description": "The part that `Range` asks for.",
            "headers": header_refs(*_FILE, "Content-Range"),
            "content": _ANY_BYTES,
        },
        "304": {
            "description": "`If-None-Match` names the file as it is.",
            "headers": header_refs(*_RATE, "ETag", "X-Content-Type-Options"),
        },
    },
    failures=(
        *_FAILURES,
        "ForbiddenDownload",
        "PreconditionFailed",
        "RangeNotSatisfiable",
        "DownloadUnavailable",
        "VersionNotSupported",
    ),
    parameters=("messageId", "attachmentId", "Range", "If-Range", "If-None-Match", "If-Match", "X-Request-Id"),
)
ARCHIVE = Description(
    operation_id="download_archive",
    summary="Download all files of a message",
    text="Every `fileAttachment` of the message in one ZIP, made while it is sent, for the cost of one call. Names are "
    "safe to extract and distinct. `manifest.json` in it lists all attachments, also those that are no files. "
    "It cannot be resumed: a break aborts the connection, and a ZIP without its end does not open.",
    tag="attachments",
    answers={
        "200": {
            "description": "The archive. `Content-Length` is there where it is known beforehand.",
            "headers": header_refs(
                *_RATE, "Accept-Ranges", "Content-Length", "Content-Disposition", "X-Content-Type-Options"
            ),
            "content": {"application/zip": {}},
        }
    },
    failures=(*_FAILURES, "Forbidden", "DownloadUnavailable", "VersionNotSupported"),
    parameters=("messageId", "X-Request-Id"),
)
