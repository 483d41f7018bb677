"""The file name of a part as the mail says it: RFC 2231, RFC 2047, raw 8-bit, or one made up where there is none."""

import re
from urllib.parse import unquote_to_bytes

from satchel.mail.mime.charsets import decode_text
from satchel.mail.mime.encoded_words import decode_words

# C0, DEL and C1 controls and the two Unicode line breaks: what could end a line or a string somewhere later.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEGMENT = re.compile(r"(\d{1,4})(\*?)")

# Written here because the mimetypes module reads files of the machine, and ids must not depend on these.
_EXTENSIONS = {
    "application/gzip": "gz",
    "application/json": "json",
    "application/ms-tnef": "dat",
    "application/msword": "doc",
    "application/octet-stream": "bin",
    "application/pdf": "pdf",
    "application/pgp-encrypted": "asc",
    "application/pgp-keys": "asc",
    "application/pgp-signature": "asc",
    "application/pkcs7-mime": "p7m",
    "application/pkcs7-signature": "p7s",
    "application/postscript": "ps",
    "application/rtf": "rtf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/x-gzip": "gz",
    "application/x-pkcs7-mime": "p7m",
    "application/x-pkcs7-signature": "p7s",
    "application/xml": "xml",
    "application/zip": "zip",
    "audio/basic": "au",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpg",
    "image/jpg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tiff",
    "image/webp": "webp",
    "message/delivery-status": "txt",
    "message/disposition-notification": "txt",
    "message/feedback-report": "txt",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/rfc822-headers": "txt",
    "text/vcard": "vcf",
    "text/x-vcard": "vcf",
    "text/xml": "xml",
    "video/mp4": "mp4",
}


def given_name(
    disposition_parameters: dict[str, bytes], type_parameters: dict[str, bytes], charset: str | None
) -> str | None:
    """The name that the mail gives: `filename` of Content-Disposition, else `name` of Content-Type; None without."""
    for parameters, key in (
        (disposition_parameters, "filename"),
        (type_parameters, "name"),
        (disposition_parameters, "name"),
        (type_parameters, "filename"),
    ):
        text = parameter_text(parameters, key, charset)
        if text:
            cleaned = clean(text)
            if cleaned.strip():
                return cleaned
    return None


def made_up_name(path: str, content_type: str) -> str:
    """A name for a part that has none, from its place in the message and its type."""
    if content_type in ("message/rfc822", "message/global"):
        return "message.eml"
    extension = _EXTENSIONS.get(content_type)
    return f"attachment-{path}.{extension}" if extension else f"attachment-{path}"


def clean(text: str) -> str:
    """`text` without control characters and otherwise unchanged; a folded tab reads as a space."""
    return _CONTROL.sub("", text.replace("\t", " "))


def parameter_text(parameters: dict[str, bytes], key: str, charset: str | None = None) -> str | None:
    """A parameter's text by RFC 2231 (continued, with charset) or RFC 2047; None where it is not given.

    `charset` is tried for raw 8-bit text that is not UTF-8.
    """
    extended = parameters.get(f"{key}*")
    if extended is not None:
        label, raw = _charset_and_rest(extended)
        return decode_words(decode_text(unquote_to_bytes(raw), label))
    if f"{key}*0" in parameters or f"{key}*0*" in parameters:
        return _continued(parameters, key, charset)
    plain = parameters.get(key)
    return None if plain is None else decode_words(_raw_text(plain, charset))


def _continued(parameters: dict[str, bytes], key: str, charset: str | None) -> str:
    segments: dict[int, tuple[bool, bytes]] = {}
    for name, value in parameters.items():
        match = _SEGMENT.fullmatch(name.removeprefix(f"{key}*")) if name.startswith(f"{key}*") else None
        if match is not None:
            segments.setdefault(int(match[1]), (bool(match[2]), value))
    label: str | None = None
    pieces: list[bytes] = []
    for number in range(len(segments)):
        if number not in segments:
            break
        extended, value = segments[number]
        if number == 0 and extended:
            label, value = _charset_and_rest(value)
        pieces.append(unquote_to_bytes(value) if extended else value)
    joined = b"".join(pieces)
    return decode_words(decode_text(joined, label) if label else _raw_text(joined, charset))


def _charset_and_rest(value: bytes) -> tuple[str | None, bytes]:
    """Splits `charset'language'text`; a value without the two quotes is all text, as some mailers write it."""
    label, first, rest = value.partition(b"'")
    _language, second, text = rest.partition(b"'")
    if not first or not second:
        return None, value
    return label.decode("latin-1") or None, text


def _raw_text(value: bytes, charset: str | None) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return decode_text(value, charset)
