"""Turns header bytes into text, by a declared charset where it holds and by what real mailers send where not."""

import codecs
import re

# Python knows these as text encodings, but none is a charset of mail, and some take quadratic time on hostile input.
_REFUSED = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})
# Supersets that mailers mean when they name the narrower charset.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso2022_jp": "iso2022_jp_ext",
}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_WIDE = ("utf-16", "utf-32")
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_text(raw: bytes, charset: str | None = None) -> str:
    """Decodes any bytes: by `charset` if it is known and fits, else as UTF-8, else as Windows-1252, never failing."""
    for name in (_codec(charset) if charset else None, "utf-8", "cp1252"):
        if name is not None:
            try:
                return _SURROGATE.sub("�", raw.decode(name))
            except (UnicodeError, ValueError):
                continue
    return raw.decode("latin-1")


def decode_body(raw: bytes, charset: str | None = None, *, is_cut: bool = False) -> str:
    """As `decode_text`, for longer text: what is damaged is read in its charset as far as that goes.

    `is_cut`: it may end within a character, which is dropped then.
    """
    declared = _codec(charset) if charset else None
    if declared is not None and declared.startswith(_WIDE) and raw.isascii() and b"\0" not in raw:
        # Whoever said so had converted it before.
        declared = None
    # Escapes of ISO-2022 are plain ASCII, which is UTF-8 too.
    candidates = (declared,) if declared is not None and raw.isascii() else (declared, "utf-8")
    for name in candidates:
        if name is not None:
            try:
                return _SURROGATE.sub("�", codecs.getincrementaldecoder(name)().decode(raw, final=not is_cut))
            except (UnicodeError, ValueError):
                continue
    if declared is None or declared == "utf-8":
        declared = "utf-8" if _is_mostly_utf8(raw) else "cp1252"
    return _SURROGATE.sub("�", raw.decode(declared, "replace"))


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether of what is not ASCII more is sound than damaged."""
    text = raw.decode("utf-8", "replace")
    return len(text) - len(text.encode("ascii", "ignore")) > 2 * text.count("�")


def _codec(charset: str) -> str | None:
    label = charset.strip().strip("\"'").lower()
    if not _LABEL.fullmatch(label):
        return None
    for candidate in (label, label.removesuffix("-i").removesuffix("-e"), label.removeprefix("x-")):
        try:
            info = codecs.lookup(candidate)
        except (LookupError, ValueError):
            continue
        name = _SUPERSETS.get(info.name, info.name)
        return None if info.name.replace("_", "-") in _REFUSED or not _is_text(info.name) else name
    return None


def _is_text(name: str) -> bool:
    """Whether bytes of this codec decode to text; base64, zlib and their like do not."""
    try:
        b"a".decode(name)
    except LookupError:
        return False
    except UnicodeError:
        return True
    return True
