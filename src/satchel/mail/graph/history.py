"""What a folder has received in a time: Graph's list of messages, page by page.

Source: Graph, "List messages"; what is sorted by must be filtered by, and first.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from satchel.mail.graph.delta import folder_path
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.listed import LISTED_FIELDS, ListedMessage, summaries
from satchel.mail.graph.wire import Page
from satchel.mail.source import MessageSummary

_PAGE_MESSAGES = 100
# For each page. Nobody waits for the past, and whoever gave up would have to ask for all of it again.
_PATIENCE_SECONDS = 900.0


async def read_history(
    http: GraphHttp, mailbox: str, folder: str, since: datetime, until: datetime
) -> AsyncIterator[Sequence[MessageSummary]]:
    """The envelopes of a folder's messages that were received from `since` until before `until`, oldest first.

    Raises GraphRefusal and SourceUnavailable. A message that is taken away meanwhile may hide another: pages are
    numbered.
    """
    params = {
        "$filter": f"receivedDateTime ge {_written(since)} and receivedDateTime lt {_written(until)}",
        "$orderby": "receivedDateTime",
        "$select": LISTED_FIELDS,
        "$top": str(_PAGE_MESSAGES),
    }
    path = f"{folder_path(mailbox, folder)}/messages"
    pages = http.pages(
        path, mailbox=mailbox, as_=Page[ListedMessage], params=params, patience_seconds=_PATIENCE_SECONDS
    )
    async for page in pages:
        yield summaries([each for each in page.value if each.is_there], mailbox)


def _written(instant: datetime) -> str:
    """To the second, as Graph's own are."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
