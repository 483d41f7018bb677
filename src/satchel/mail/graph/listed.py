"""Messages as Graph lists them by the page, with all that an envelope needs, so that nobody need ask for each."""

from collections.abc import Sequence
from typing import Any

import msgspec

from satchel.mail.graph import decode
from satchel.mail.source import MessageSummary

LISTED_FIELDS = f"{decode.MESSAGE_FIELDS},hasAttachments,isDraft"


class ListedMessage(decode.WireMessage, frozen=True, rename="camel"):
    """A message of a list, or of a delta query, where it may also be one that is gone."""

    has_attachments: Any = None
    is_draft: Any = None
    removed: Any = msgspec.field(name="@removed", default=None)

    @property
    def is_there(self) -> bool:
        """Whether it is a message that has come, and is no draft."""
        return self.removed is None and self.is_draft is not True


def summaries(listed: Sequence[ListedMessage], mailbox: str) -> list[MessageSummary]:
    """Their envelopes; of attachments they say what Graph says, which counts none that is inline."""
    return [decode.summary(each, mailbox, has_attachments=each.has_attachments is True) for each in listed]
