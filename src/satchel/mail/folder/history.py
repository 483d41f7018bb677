"""What is in a mailbox of the mail folder just now, for who asks about the past: nothing is remembered of it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from satchel.mail.folder.files import is_gone, translate
from satchel.mail.folder.ids import Layout, message_id
from satchel.mail.folder.layouts import LayoutReader, Sighting, find_stores
from satchel.mail.source import MessageRef


def messages_in(
    root: Path, layouts: Mapping[Layout, LayoutReader], mailbox: str, has_rested: Callable[[Sighting], bool]
) -> Iterator[MessageRef]:
    """The messages of a mailbox, in no order. Those that may still be written to are left out: they are arriving.

    Blocks on the disk. Raises `SourceUnavailable`.
    """
    for store in find_stores(root):
        if store.mailbox != mailbox:
            continue
        try:
            for sighting in layouts[store.layout].sightings(store.entry):
                if sighting.complete or has_rested(sighting):
                    yield MessageRef(mailbox, message_id(mailbox, sighting.place), sighting.place.locator())
        except OSError as error:
            if not is_gone(error):
                raise translate(error) from error
