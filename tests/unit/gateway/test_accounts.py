"""Two accounts whose folders are the same to the last file name, from the mail to the answer of the API."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.types import ASGIApp

from satchel.contract.scopes import Scope
from satchel.gateway.admission import Admission
from satchel.gateway.api.application import build_application
from satchel.gateway.api.boundary import Observers
from satchel.gateway.audit.recorder import Recorder
from satchel.gateway.intake import Intake
from satchel.gateway.limits.downloads import Downloads
from satchel.gateway.limits.rates import AccountRates, FailedKeys, Limits
from satchel.gateway.limits.windows import MemoryWindow
from satchel.gateway.reports.reporting import Reporting
from satchel.gateway.service import AttachmentService
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.database import Store
from satchel.gateway.store.keys import create_key
from satchel.gateway.store.messages import delivery_id
from satchel.gateway.store.tables import messages
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from satchel.mail.folder.source import FolderSource
from satchel.mail.source import Batch, MessageRef
from tests.unit.gateway.fakes import MAILBOX, Answer, RememberingQueue, call, first_pass_ends

ACCOUNTS = ("default", "acme")


def mail(account: str) -> bytes:
    """The same message but for its one attachment, which names its account."""
    return (
        b"Message-ID: <1@example.test>\nSubject: Invoice\nContent-Type: multipart/mixed; boundary=b\n\n"
        b'--b\nContent-Disposition: attachment; filename="invoice.txt"\n\nof ' + account.encode() + b"\n--b--\n"
    )


@dataclass
class Tenant:
    """An account with its source, key and webhook; `put` delivers a message to its mailbox."""

    account_id: str
    folder: Path
    source: FolderSource
    intake: Intake
    queue: RememberingQueue
    key: str = ""
    webhook: str = ""

    def put(self, account: str, name: str) -> None:
        (self.folder / MAILBOX / "cur" / name).write_bytes(mail(account))

    async def take_in(self) -> list[MessageRef]:
        """All that is in the folder now, taken in as one batch."""
        batches = self.source.watch()
        found: list[MessageRef] = []
        async for batch in batches:
            found += batch.messages
            if batch.ends_first_pass:
                break
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()
        await self.intake.take(Batch(found))
        return found


@pytest.fixture
async def tenants(engine: sa.Engine, store: Store, tmp_path: Path) -> AsyncIterator[dict[str, Tenant]]:
    ids = register_accounts(engine, ACCOUNTS, actor="cli:0")
    found = {}
    for name in ACCOUNTS:
        folder = tmp_path / name
        for part in ("cur", "new", "tmp"):
            (folder / MAILBOX / part).mkdir(parents=True)
        source, queue = FolderSource(folder, settle_seconds=0), RememberingQueue(engine)
        intake = Intake(ids[name], source, store, queue, sweep_seconds=30)
        found[name] = Tenant(ids[name], folder, source, intake, queue)
        await intake.take(first_pass_ends())
        acting, soon = Acting(ids[name]), datetime.now(UTC) + timedelta(days=1)
        found[name].key, _ = create_key(
            engine, "k", scopes=[*Scope], mailboxes=[MAILBOX], expires_at=soon, acting=acting
        )
        url = "https://example.com/"
        hook = add_webhook(engine, NewWebhook("w", url, [MAILBOX]), acting=acting)
        found[name].webhook = hook.webhook_id
    yield found
    for tenant in found.values():
        await tenant.source.aclose()


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return Recorder(store)


@pytest.fixture
def served(store: Store, tenants: dict[str, Tenant], recorder: Recorder) -> ASGIApp:
    return serve(store, list(tenants.values()), recorder)


def serve(store: Store, tenants: list[Tenant], recorder: Recorder) -> ASGIApp:
    async def ready() -> dict[str, bool]:
        return {}

    sources = {tenant.account_id: tenant.source for tenant in tenants}
    limits = Limits(
        AccountRates(MemoryWindow(), lambda _: 0), FailedKeys(MemoryWindow(), 0), *[Downloads(per_key=9, in_all=9)] * 2
    )
    admission = Admission(store, limits, accounts=sources)
    return build_application(
        admission, AttachmentService(sources), Reporting(store), ready, observers=Observers(recorder)
    )


async def get(app: ASGIApp, tenant: Tenant, path: str) -> Answer:
    return await call(app, f"/api/v1/messages/{path}", headers={"Authorization": f"Bearer {tenant.key}"})


async def download(app: ASGIApp, tenant: Tenant, message_id: str) -> bytes:
    attachments = await get(app, tenant, f"{message_id}/attachments")
    assert attachments.status == 200
    attachment_id = attachments.body.split(b'"id":"')[1].split(b'"')[0].decode()
    return (await get(app, tenant, f"{message_id}/attachments/{attachment_id}/download")).body


async def test_messages_of_one_id_stay_each_accounts_own(
    engine: sa.Engine, tenants: dict[str, Tenant], served: ASGIApp
) -> None:
    ids = set()
    for name, tenant in tenants.items():
        tenant.put(name, "1.example:2,S")
        [ref] = await tenant.take_in()
        ids.add(ref.message_id)
        assert tenant.queue.asked == [delivery_id(tenant.webhook, ref.message_id)]
    [message_id] = ids
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(messages)) == 2
    for name, tenant in tenants.items():
        assert await download(served, tenant, message_id) == f"of {name}".encode()


@pytest.mark.parametrize(("has", "has_not"), [ACCOUNTS, ACCOUNTS[::-1]])
async def test_a_message_of_the_other_account_is_as_unknown_as_one_that_never_was(
    tenants: dict[str, Tenant], served: ASGIApp, has: str, has_not: str
) -> None:
    tenants[has].put(has, "2.example:2,")
    [ref] = await tenants[has].take_in()
    await tenants[has_not].take_in()
    assert await download(served, tenants[has], ref.message_id) == f"of {has}".encode()
    answers = [await get(served, tenants[has_not], f"{id_}/attachments") for id_ in (ref.message_id, "never-was")]
    assert [answer.status for answer in answers] == [404, 404]
    bodies = [
        answer.body.replace(id_.encode(), b"").replace(answer.headers["x-request-id"].encode(), b"")
        for answer, id_ in zip(answers, (ref.message_id, "never-was"), strict=True)
    ]
    assert bodies[0] == bodies[1]
    assert tenants[has_not].queue.asked == []


async def test_the_keys_of_an_account_that_is_not_served_are_unknown(
    engine: sa.Engine, store: Store, tenants: dict[str, Tenant], recorder: Recorder
) -> None:
    app = serve(store, [tenants["default"]], recorder)
    answer = await get(app, tenants["acme"], "m/attachments")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert b'"reason":"key_invalid"' in answer.body
    await recorder.write()
    [event] = [event for event in list_events(engine) if event.action == "call.refused"]
    assert (event.account, event.reason, event.status) == ("acme", "key_invalid", 401)


async def test_refused_calls_come_into_the_trail_by_their_ids(
    engine: sa.Engine, tenants: dict[str, Tenant], served: ASGIApp, recorder: Recorder
) -> None:
    await asyncio.gather(*(get(served, tenants["acme"], f"{number}/attachments") for number in range(5)))
    await call(served, "/api/v1/messages/m/attachments")
    await call(served, "/nothing/here")
    await recorder.write()
    found = [
        (event.account, event.actor[:4], event.reason, event.status, event.count, event.route)
        for event in list_events(engine)
        if event.action == "call.refused"
    ]
    route = "/api/v1/messages/{message_id}/attachments"
    assert found == [
        ("acme", "key:", "not_found", 404, 5, route),
        (None, "unkn", "key_missing", 401, 1, route),
    ]
