"""What Graph's client raises besides the errors of the mail port, and how the one becomes the other."""

from satchel.mail.source import SourceUnavailable


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
