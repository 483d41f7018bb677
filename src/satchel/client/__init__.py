"""The SDK: finds messages, lists their attachments and downloads them, from Satchel's gateway or the public service."""

from satchel.client.aio import AsyncClient
from satchel.client.calls import Ambience
from satchel.client.download import Downloaded
from satchel.client.errors import (
    AlreadyExists,
    ArchiveNotOffered,
    ClientError,
    ConfigurationError,
    ConnectionFailed,
    IncompleteBody,
    ReportFailed,
    ReportUnfinished,
    ServerNotTrusted,
    SizeMismatch,
    UnexpectedAnswer,
)
from satchel.client.reports import ReportPatience
from satchel.client.retry import CALL_ERRORS, NO_RETRIES, GiveUp, RetryDecision, RetryIn, RetryPolicy
from satchel.client.stream import AttachmentStream, StreamHead
from satchel.client.sync import BlockingAttachmentStream, Client
from satchel.client.transport import Timeouts

__all__ = [
    "CALL_ERRORS",
    "NO_RETRIES",
    "AlreadyExists",
    "Ambience",
    "ArchiveNotOffered",
    "AsyncClient",
    "AttachmentStream",
    "BlockingAttachmentStream",
    "Client",
    "ClientError",
    "ConfigurationError",
    "ConnectionFailed",
    "Downloaded",
    "GiveUp",
    "IncompleteBody",
    "ReportFailed",
    "ReportPatience",
    "ReportUnfinished",
    "RetryDecision",
    "RetryIn",
    "RetryPolicy",
    "ServerNotTrusted",
    "SizeMismatch",
    "StreamHead",
    "Timeouts",
    "UnexpectedAnswer",
]
