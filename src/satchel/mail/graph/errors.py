"""What Graph's client raises besides the errors of the mail port, and how the one becomes the other."""

from satchel.mail.source import MessageNotFound, NotDownloadable, SourceError, SourceUnavailable

_FORBIDDEN = 403
_NOT_ALLOWED = 405
# What another attempt later may well change: a conflict, a locked item, a mailbox that is being moved.
_PASSING = frozenset({409, 412, 423, 425})
_GONE = frozenset({404, 410})
# A 400 that says that the id is none, or one of another mailbox.
_ID_CODES = frozenset({"ErrorInvalidIdMalformed", "ErrorInvalidMailboxItemId", "ErrorInvalidId", "ErrorItemNotFound"})
# A 404 that is about the mailbox: it is being moved, or it has no licence yet.
_MAILBOX_CODES = frozenset({"MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI"})


class GraphRefusal(Exception):
    """Graph answered, and the answer is no: a status that trying again does not change.

    `code` is the error's code as Graph spells it ("ErrorItemNotFound"), empty where the body gave none. Its message is
    not kept: it may hold addresses.
    """

    def __init__(self, status: int, code: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"Graph answered {status} {code}".rstrip() + ".")
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds


def unusable(what: str) -> SourceUnavailable:
    """An answer of success that is none of Graph's: a proxy's page, or one that was cut."""
    return SourceUnavailable(f"The mail server gave an answer that cannot be used: {what}.", upstream_status=502)


class TooLarge(SourceUnavailable):
    """An answer that is larger than it may be."""


def is_gone(refusal: GraphRefusal) -> bool:
    """Whether there is no such thing (any more), as far as Graph tells."""
    if refusal.status == 400:
        return refusal.code in _ID_CODES
    return refusal.status in _GONE and refusal.code not in _MAILBOX_CODES


def translated(refusal: GraphRefusal) -> SourceError:
    """The refusal of a call about a message, as the port says it."""
    if is_gone(refusal):
        return MessageNotFound("The mail server has no such message.")
    if refusal.status == _NOT_ALLOWED:
        return NotDownloadable("The mail server streams no attachment of this kind.")
    if refusal.status == _FORBIDDEN or refusal.status in _PASSING or refusal.code in _MAILBOX_CODES:
        return SourceUnavailable(
            str(refusal), upstream_status=refusal.status, retry_after_seconds=refusal.retry_after_seconds
        )
    return SourceError(str(refusal))


def refused_mailbox(refusal: GraphRefusal) -> SourceError:
    """The refusal of a call about a mailbox or a folder of it, as the port says it."""
    return SourceError(str(refusal)) if is_gone(refusal) else translated(refusal)
