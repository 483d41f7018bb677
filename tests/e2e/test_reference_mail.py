"""Mail that nobody here wrote, through the HTTP API of a running gateway."""

import hashlib
import json
import shutil
import urllib.error
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from satchel.testing.stack import MAILBOX, Stack
from tests.e2e.observe import attachments, call, download_path, message_ids

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "mail"


class Fetched(NamedTuple):
    name: str
    content_type: str
    size: int
    sha256: str | None


def reference() -> dict[str, list[dict[str, Any]]]:
    """File → the attachments that two independent parsers agree on."""
    lines = (SAMPLES / "reference.jsonl").read_text("utf-8").splitlines()
    records = map(json.loads, lines)
    return {record["file"]: [one for one in record["attachments"] if one["agreed"]] for record in records}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample mail is not beside the project (../shared/data/mail)")
def test_every_agreed_attachment_comes_back(stack: Stack) -> None:
    files = sorted(SAMPLES.glob("*.eml"))
    folder = stack.maildir(MAILBOX)
    shutil.rmtree(folder)
    folder.mkdir()
    for path in files:
        shutil.copy2(path, folder / path.name)
    stack.start("gateway")
    ids = message_ids(stack, len(files))
    wrong, count = [], 0
    for name, agreed in reference().items():
        message_id = ids[name]
        got = [fetched(stack, message_id, attachment) for attachment in attachments(stack, message_id)]
        for wanted in agreed:
            count += 1
            if not any(same(wanted, one) for one in got):
                wrong.append((name, wanted, got))
    assert wrong == []
    assert count == 91


def same(wanted: dict[str, Any], got: Fetched) -> bool:
    """The reference gives no name to a part that has none; ours is made up so that it can be saved.

    An embedded message is an item: the contract lists it and refuses its download.
    """
    return (
        wanted["name"] in {None, got.name}
        and (wanted["contentType"], wanted["size"]) == (got.content_type, got.size)
        and (wanted["sha256"] == got.sha256 or (got.sha256 is None and wanted["contentType"] == "message/rfc822"))
    )


def fetched(stack: Stack, message_id: str, attachment: dict[str, Any]) -> Fetched:
    """Name, type, size and digest as the API gives them; an item or a reference has no digest."""
    seen = attachment["name"], attachment["contentType"], attachment["size"]
    path = download_path(message_id, attachment["id"])
    if attachment["attachmentType"] != "fileAttachment":
        with pytest.raises(urllib.error.HTTPError, match="403"):
            call(stack, path)
        return Fetched(*seen, None)
    body = call(stack, path)
    assert len(body) == attachment["size"]
    return Fetched(*seen, hashlib.sha256(body).hexdigest())
