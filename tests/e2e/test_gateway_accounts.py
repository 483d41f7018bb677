"""Two accounts in one gateway process, each with a folder that is the other's to the last file name."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from satchel.contract.scopes import Scope
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.database import open_database
from satchel.gateway.store.keys import create_key, list_keys
from satchel.gateway.store.mailboxes import add_mailbox
from tests.e2e.gateway_process import MAILBOX, Gateway, gateway

NAME = "1700000000.M1P1.host:2,S"


def mail(words: str) -> bytes:
    return (
        "Subject: Invoice\nContent-Type: multipart/mixed; boundary=b\n\n"
        f'--b\nContent-Disposition: attachment; filename="i.txt"\n\n{words}\n--b--\n'
    ).encode()


def key_of_acme(running: Gateway) -> str:
    engine = open_database(running.folder / "data")
    acting = Acting(register_accounts(engine, ["acme"], actor="cli:0")["acme"])
    add_mailbox(engine, MAILBOX, acting=acting)
    expires_at = datetime.now(UTC) + timedelta(days=1)
    key, _ = create_key(engine, "acme", scopes=list(Scope), mailboxes=[MAILBOX], expires_at=expires_at, acting=acting)
    engine.dispose()
    return key


def download(running: Gateway, key: str, message_id: str) -> bytes:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    base = f"{running.url}/api/v1/messages/{message_id}/attachments"
    listed = session.get(base, timeout=10)
    assert listed.status_code == 200
    return session.get(f"{base}/{listed.json()['attachments'][0]['id']}/download", timeout=10).content


def indexed(running: Gateway) -> set[str]:
    engine = open_database(running.folder / "data")
    with engine.connect() as connection:
        found = set(connection.exec_driver_sql("SELECT message_id FROM messages").scalars())
    engine.dispose()
    return found


def test_each_account_has_its_own(tmp_path: Path) -> None:
    further = {"accounts.acme.folder.path": "mail-acme", "accounts.acme.rate_limit_per_minute": 3}
    with gateway(tmp_path / "g", further=further) as running:
        theirs = running.folder / "mail-acme" / MAILBOX
        for part in ("tmp", "new", "cur"):
            (theirs / part).mkdir(parents=True)
        (running.maildir / "cur" / NAME).write_bytes(mail("ours"))
        (theirs / "cur" / NAME).write_bytes(mail("theirs"))
        key = key_of_acme(running)
        running.start()
        [message_id] = indexed(running)
        assert download(running, running.key, message_id) == b"ours"
        assert download(running, key, message_id) == b"theirs"
        call = f"{running.url}/api/v1/messages/unknown/attachments"
        statuses = [
            [requests.get(call, headers={"Authorization": f"Bearer {one}"}, timeout=10).status_code for _ in range(3)]
            for one in (running.key, key)
        ]
        assert statuses == [[404, 404, 404], [404, 429, 429]]
        assert running.end(signal.SIGTERM) == 0
        engine = open_database(running.folder / "data")
        refused = [event for event in list_events(engine) if event.action == "call.refused"]
        counts: dict[tuple[str | None, int | None], int] = {}
        for event in refused:
            counts[event.account, event.status] = counts.get((event.account, event.status), 0) + event.count
        assert counts == {("default", 404): 3, ("acme", 404): 1, ("acme", 429): 2}
        assert all(row.last_used_at is not None for row in list_keys(engine))
        engine.dispose()
