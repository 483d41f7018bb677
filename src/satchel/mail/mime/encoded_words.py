"""Decodes encoded words (RFC 2047), also where they should not stand: within quoted parameter values."""

import binascii
import re

from satchel.mail.mime.charsets import decode_text

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")


def decode_words(text: str) -> str:
    """`text` with its encoded words decoded; white space between two of them is dropped (RFC 2047 section 6.2).

    Neighbours of one charset are joined before they are decoded, because mailers cut characters in two.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    pending: list[bytes] = []
    charset = ""
    position = 0
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        label = match[1].partition("*")[0].lower()  # RFC 2231 section 5: a language may follow the charset
        if pending and (between.strip() or label != charset):
            out.append(decode_text(b"".join(pending), charset))
            pending = []
        if between.strip() or not position:
            out.append(between)
        pending.append(_content(match[2], match[3]))
        charset = label
        position = match.end()
    if pending:
        out.append(decode_text(b"".join(pending), charset))
    out.append(text[position:])
    return "".join(out)


def _content(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
    significant = _NOT_BASE64.sub("", text)
    significant = significant[: len(significant) - (len(significant) % 4 == 1)]
    return binascii.a2b_base64(significant + "=" * (-len(significant) % 4))
