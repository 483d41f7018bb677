"""What a rule asks of a message, as it stands in the database; what could not be decided is refused when it is made."""

import re
from typing import Annotated, Any

import msgspec
import re2

from satchel.gateway.rules.patterns import check_pattern

MAX_REGEX_CHARACTERS = 1_000
# Of one compiled expression. What would need more is refused, or matched in less memory and more time.
_MAX_REGEX_BYTES = 1024 * 1024
# RFC 6838 section 4.2, with stars.
_TYPE_GLOB = re.compile(r"[a-z0-9*][a-z0-9!#$&^_.+*-]{0,126}/[a-z0-9*][a-z0-9!#$&^_.+*-]{0,126}", re.IGNORECASE)
_NAME_ENDING = re.compile(r"\.[^/\s]{1,50}")

_Words = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
_Some = msgspec.Meta(max_length=200)
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class AttachmentConditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one attachment at least has to be, all of it at once.

    `kinds` are content types, with stars (`image/*`), or endings of names (`.pdf`), of which one must fit; none: any.
    Sizes are as the mail source lists them. Pictures that a text shows count only `with_inline`.
    """

    kinds: Annotated[tuple[str, ...], _Some] = ()
    min_bytes: _Bytes | None = None
    max_bytes: _Bytes | None = None
    with_inline: bool = False

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if not _TYPE_GLOB.fullmatch(kind) and not _NAME_ENDING.fullmatch(kind):
                raise ValueError(f"{kind!r} is no kind of attachment: write application/pdf, image/* or .pdf.")
        if self.min_bytes is not None and self.max_bytes is not None and self.min_bytes > self.max_bytes:
            raise ValueError("No attachment fits: its smallest size is above its largest.")


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that are set must hold; where none is, any message will do.

    `senders` and `recipients` (To and Cc) are patterns of addresses, of which one must fit. `subject_contains` are
    words of which the subject has one, `subject_regex` is a regular expression of RE2 that matches somewhere in it; in
    both, case makes no difference. Raises ValueError for what cannot be decided.
    """

    senders: Annotated[tuple[str, ...], _Some] = ()
    recipients: Annotated[tuple[str, ...], _Some] = ()
    subject_contains: Annotated[tuple[_Words, ...], _Some] = ()
    subject_regex: str | None = None
    has_attachments: bool | None = None
    attachments: AttachmentConditions | None = None

    def __post_init__(self) -> None:
        for pattern in (*self.senders, *self.recipients):
            check_pattern(pattern)
        if not all(words.strip() for words in self.subject_contains):
            raise ValueError("Every subject contains nothing: name words.")
        if self.subject_regex is not None:
            _check_regex(self.subject_regex)
        if self.has_attachments is False and self.attachments is not None:
            raise ValueError("No message fits: it is to have no attachments, and one of a kind.")


def as_stored(conditions: Conditions) -> dict[str, Any]:
    """Conditions as the database keeps them. Raises ValueError for what could not be read there again."""
    stored: dict[str, Any] = msgspec.to_builtins(conditions)
    try:
        msgspec.json.encode(msgspec.convert(stored, Conditions))
    except UnicodeEncodeError:
        raise ValueError("The conditions are not taken: they are no Unicode text.") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"The conditions are not taken: {error}.") from None
    return stored


def is_match(regex: str, text: str) -> bool:
    """Whether an expression that was checked matches somewhere in the text, in time that grows with its length."""
    return re2.compile(regex, _options()).search(text) is not None


def _check_regex(regex: str) -> None:
    if not regex or len(regex) > MAX_REGEX_CHARACTERS:
        raise ValueError(f"A regular expression has 1 to {MAX_REGEX_CHARACTERS:,} characters.")
    try:
        re2.compile(regex, _options())
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        raise ValueError(
            f"This regular expression is not taken: {reason}. It is one of RE2, which knows no look-around and no "
            "back-references: https://github.com/google/re2/wiki/Syntax"
        ) from None
    except UnicodeEncodeError:
        raise ValueError("This regular expression is not taken: it is no Unicode text.") from None


def _options() -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MAX_REGEX_BYTES
    return options
