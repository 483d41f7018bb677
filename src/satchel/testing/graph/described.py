"""How messages, attachments, folders and users look in Graph's JSON, with its nulls and its annotations."""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from satchel.contract.attachments import AttachmentType
from satchel.contract.events import Recipient
from satchel.testing.graph.errors import unknown_property
from satchel.testing.graph.mailboxes import Folder, Mailbox
from satchel.testing.graph.stored import StoredAttachment, StoredMessage

_PREVIEW_CHARACTERS = 255
_TAG = re.compile(r"<[^>]*>")
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")
_CAST = "microsoft.graph.fileAttachment/"
_ATTACHMENT_PROPERTIES = ("id", "lastModifiedDateTime", "name", "contentType", "size", "isInline")
_FILE_PROPERTIES = ("contentId", "contentLocation", "contentBytes")

Json = dict[str, Any]


def instant(at: datetime) -> str:
    """As Graph writes instants."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def message_json(
    message: StoredMessage, mailbox: Mailbox, *, immutable: bool, as_text: bool, select: tuple[str, ...]
) -> Json:
    """A message; `as_text` is the preference for a plain body. Raises GraphError for a property that is not there."""
    for name in select:
        if name not in _MESSAGE:
            raise unknown_property(name, "microsoft.graph.message")
    names = select or tuple(name for name in _MESSAGE if name != "internetMessageHeaders")
    described: Json = {"@odata.etag": etag(message), "id": message.id_for(immutable=immutable)}
    for name in names:
        if name == "body":
            described[name] = _body(message, as_text)
        elif name != "id":
            described[name] = _MESSAGE[name](message, mailbox)
    return described


def message_value(message: StoredMessage, mailbox: Mailbox, name: str) -> str | bool | datetime | None:
    """A property to filter and sort by. Raises GraphError."""
    if name == "receivedDateTime":
        return message.received
    if name == "lastModifiedDateTime":
        return message.modified
    if name == "sentDateTime":
        return message.sent
    if name == "from/emailAddress/address":
        return message.contents.envelope.from_.email_address.address
    if name not in _MESSAGE:
        raise unknown_property(name, "microsoft.graph.message")
    value = _MESSAGE[name](message, mailbox)
    return value if isinstance(value, str | bool) or value is None else str(value)


def etag(message: StoredMessage) -> str:
    return f'W/"{_change_key(message)}"'


def attachment_json(attachment: StoredAttachment, described: Mapping[str, object], select: tuple[str, ...]) -> Json:
    """An attachment without its bytes. `described` has its id, size, isInline and lastModifiedDateTime.

    `contentId` and its like exist only on file attachments and must be asked for by their cast. Raises GraphError.
    """
    kind, found = attachment.found.kind, attachment.found
    is_file = kind is AttachmentType.FILE
    everything: Json = {
        "@odata.type": f"#microsoft.graph.{kind.value}",
        **({"@odata.mediaContentType": found.content_type} if is_file else {}),
        "id": described["id"],
        "lastModifiedDateTime": described["lastModifiedDateTime"],
        "name": found.name,
        # Only files say what they are; the others leave it null.
        "contentType": found.content_type if is_file else None,
        "size": described["size"],
        "isInline": described["isInline"],
    }
    if is_file:
        everything |= {"contentId": found.content_id, "contentLocation": None}
    if not select:
        return everything
    wanted = set(select_names(select))
    return {name: value for name, value in everything.items() if name in wanted or name.startswith("@odata.")}


def select_names(select: tuple[str, ...]) -> list[str]:
    """The properties that a `$select` of attachments names, without casts. Raises GraphError for a missing cast."""
    names = []
    for each in select:
        bare = each[len(_CAST) :] if each.lower().startswith(_CAST.lower()) else each
        if bare == each and bare not in _ATTACHMENT_PROPERTIES:
            raise unknown_property(bare, "microsoft.graph.attachment")
        if bare not in (*_ATTACHMENT_PROPERTIES, *_FILE_PROPERTIES):
            raise unknown_property(bare, "microsoft.graph.fileAttachment")
        names.append(bare)
    return names


def wants_bytes(select: tuple[str, ...]) -> bool:
    """Whether the bytes come along: they do unless a `$select` leaves them out."""
    return not select or "contentBytes" in select_names(select)


def folder_json(folder: Folder, mailbox: Mailbox) -> Json:
    inside = list(mailbox.in_folder(folder.name))
    return {
        "id": folder.id,
        "displayName": folder.display_name,
        "parentFolderId": mailbox.folders["msgfolderroot"].id,
        "childFolderCount": 0,
        "unreadItemCount": len(inside),
        "totalItemCount": len(inside),
        "sizeInBytes": sum(each.contents.size for each in inside if each.is_read_in),
        "isHidden": False,
    }


def user_json(mailbox: Mailbox) -> Json:
    return {
        "businessPhones": [],
        "displayName": mailbox.address.partition("@")[0],
        "givenName": None,
        "jobTitle": None,
        "mail": mailbox.address,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": None,
        "userPrincipalName": mailbox.address,
        "id": mailbox.id,
    }


def _body(message: StoredMessage, as_text: bool) -> Json:
    contents = message.contents
    if as_text:
        return {"contentType": "text", "content": contents.text or _without_tags(contents.html)}
    return {"contentType": "html", "content": contents.html or _as_html(contents.text)}


def _preview(message: StoredMessage, _: Mailbox) -> str:
    contents = message.contents
    text = contents.text or _without_tags(contents.html)
    return _SPACE.sub(" ", text).strip()[:_PREVIEW_CHARACTERS]


def _as_html(text: str) -> str:
    """As Exchange shows plain text to those who did not ask for it."""
    head = '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
    return f'<html><head>{head}</head><body><div class="PlainText">{html.escape(text)}</div></body></html>'


def _without_tags(text: str) -> str:
    return html.unescape(_TAG.sub("", _UNSEEN.sub("", text)))


def _digest(message: StoredMessage, *words: str) -> str:
    raw = hashlib.shake_256("\0".join((message.immutable_id, *words)).encode()).digest(24)
    return base64.b64encode(raw).decode("ascii")


def _change_key(message: StoredMessage) -> str:
    return "CQAAABYAAA" + _digest(message, instant(message.modified), message.folder)[:22]


def _conversation(message: StoredMessage, mailbox: Mailbox) -> str:
    root = message.contents.envelope.conversation_root or message.immutable_id
    raw = hashlib.shake_256(f"{mailbox.id}\0{root}".encode()).digest(60)
    return "AAQk" + base64.urlsafe_b64encode(raw).decode("ascii")


def _recipient(recipient: Recipient) -> Json | None:
    address = recipient.email_address
    if not address.address and not address.name:
        return None
    return {"emailAddress": {"name": address.name or address.address, "address": address.address}}


def _recipients(recipients: tuple[Recipient, ...]) -> list[Json]:
    return [each for each in map(_recipient, recipients) if each is not None]


def _headers(message: StoredMessage, _: Mailbox) -> list[Json]:
    envelope = message.contents.envelope
    return [{"name": "Message-ID", "value": envelope.message_id}, {"name": "Subject", "value": envelope.subject}]


_Property = Callable[[StoredMessage, Mailbox], Any]
_MESSAGE: dict[str, _Property] = {
    "id": lambda message, _: message.immutable_id,
    "createdDateTime": lambda message, _: instant(message.received),
    "lastModifiedDateTime": lambda message, _: instant(message.modified),
    "changeKey": lambda message, _: _change_key(message),
    "categories": lambda _message, _: [],
    "receivedDateTime": lambda message, _: instant(message.received),
    "sentDateTime": lambda message, _: instant(message.sent),
    "hasAttachments": lambda message, _: message.has_attachments,
    "internetMessageId": lambda message, _: message.contents.envelope.message_id or None,
    "internetMessageHeaders": _headers,
    "subject": lambda message, _: message.contents.envelope.subject,
    "bodyPreview": _preview,
    "importance": lambda _message, _: "normal",
    "parentFolderId": lambda message, mailbox: mailbox.folders[message.folder].id,
    "conversationId": _conversation,
    "conversationIndex": lambda message, _: _digest(message, "index"),
    "isDeliveryReceiptRequested": lambda _message, _: None,
    "isReadReceiptRequested": lambda _message, _: False,
    "isRead": lambda _message, _: False,
    "isDraft": lambda _message, _: False,
    "webLink": lambda message, _: f"https://outlook.office365.com/owa/?ItemID={message.mutable_id}&exvsurl=1",
    "inferenceClassification": lambda _message, _: "focused",
    "body": lambda message, _: _body(message, False),
    "sender": lambda message, _: _recipient(message.contents.envelope.sender),
    "from": lambda message, _: _recipient(message.contents.envelope.from_),
    "toRecipients": lambda message, _: _recipients(message.contents.envelope.to),
    "ccRecipients": lambda message, _: _recipients(message.contents.envelope.cc),
    "bccRecipients": lambda _message, _: [],
    "replyTo": lambda _message, _: [],
    "flag": lambda _message, _: {"flagStatus": "notFlagged"},
}
