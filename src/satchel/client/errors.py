"""What can go wrong on the client's side; failures that the server explained are `contract.errors.ApiError`.

ClientError
├── ConfigurationError       permanent: the base URL or the API key cannot be used as given
├── ConnectionFailed         transient: no connection, or no answer on it
│   └── ServerNotTrusted     permanent: TLS does not verify the server
├── IncompleteBody           transient: the connection ended before the body did
├── UnexpectedAnswer         permanent: something answered, but not the API (an HTML page, a redirect)
├── ArchiveNotOffered        permanent: the message is there, but the server makes no archives
├── ReportFailed             permanent: the server could not make the report
├── ReportUnfinished         transient: the report was still being made when patience ended
├── SizeMismatch             permanent: the whole came, with another size than the caller expects
└── AlreadyExists            permanent: a file of that name is there, and it is not to be replaced

Each says whether the same call may succeed later (`transient`) and when (`retry_after_seconds`), as ApiError does.
"""


class ClientError(Exception):
    """A call that failed without an explanation by the API. The message is advice and holds no secret."""

    transient = False

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(ClientError, ValueError):
    """The base URL or the API key cannot be used; nothing was sent."""


class ConnectionFailed(ClientError):
    """The server could not be reached, or it closed the connection without an answer."""

    transient = True


class ServerNotTrusted(ConnectionFailed):
    """The server's certificate does not verify; the API key was not sent."""

    transient = False


class IncompleteBody(ClientError):
    """The body ended early: `received_bytes` came in this answer, of `expected_bytes` where that was announced."""

    transient = True

    def __init__(self, message: str, *, received_bytes: int, expected_bytes: int | None) -> None:
        super().__init__(message)
        self.received_bytes = received_bytes
        self.expected_bytes = expected_bytes


class UnexpectedAnswer(ClientError):
    """The answer is not one of this API: most often the base URL leads to a portal or a proxy's page."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ArchiveNotOffered(ClientError):
    """The server knows the message but not the archive call, which is Satchel's own: download the files one by one."""


class ReportFailed(ClientError):
    """The server began the report and could not make it; `reason` is its stable word for why, where it has one."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ReportUnfinished(ClientError):
    """The report was still running when the caller's patience ended. `progress` is in percent."""

    transient = True

    def __init__(self, message: str, *, progress: int) -> None:
        super().__init__(message)
        self.progress = progress


class SizeMismatch(ClientError):
    """The complete body has another size than `expected_size` of the caller."""


class AlreadyExists(ClientError, FileExistsError):
    """The target file exists; nothing was changed."""
