"""Storage keys: from ids alone, so that nothing that a mail says can become a path."""

import hashlib
import re

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


def storage_key(message_id: str, attachment_id: str, name: str) -> str:
    """`<aa>/<digest>.<extension>`: the SHA-256 of both ids in hexadecimal, spread over 256 folders.

    Of the name only a short plain extension is kept, so that programs and people know what they open.
    """
    digest = hashlib.sha256(f"{message_id}\0{attachment_id}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:2]}/{digest}{safe_extension(name)}"


def safe_extension(name: str) -> str:
    """The name's extension with its dot, in lower case, where it is 1 to 8 ASCII letters and digits; else nothing."""
    stem, dot, extension = name.rpartition(".")
    extension = extension.lower()
    return f".{extension}" if stem and dot and _EXTENSION.fullmatch(extension) else ""
