"""An intake between a source in memory and a queue that remembers."""

import pytest
import sqlalchemy as sa

from satchel.gateway.intake import Intake
from satchel.gateway.store.database import Store
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from tests.unit.gateway.fakes import (
    MAILBOX,
    MemorySource,
    RememberingQueue,
)
from tests.unit.gateway.intake.intakes import Clock, Start


@pytest.fixture
def queue(engine: sa.Engine) -> RememberingQueue:
    return RememberingQueue(engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(source: MemorySource, store: Store, clock: Clock) -> Start:
    """An intake as after a start of the gateway."""

    def made(queue: RememberingQueue, patience_seconds: float = 0.0) -> Intake:
        return Intake(
            DEFAULT_ACCOUNT_ID,
            source,
            store,
            queue,
            sweep_seconds=30,
            arrival_patience_seconds=patience_seconds,
            now=clock,
        )

    return made


@pytest.fixture
def intake(start: Start, queue: RememberingQueue) -> Intake:
    return start(queue)


@pytest.fixture
def webhook(engine: sa.Engine) -> str:
    add_mailbox(engine, MAILBOX)
    return add_webhook(engine, NewWebhook("collector", "https://example.com/", [MAILBOX])).webhook_id
