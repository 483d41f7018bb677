"""The index under two writers: whoever comes second changes nothing and announces nothing."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from satchel.gateway.store.database import open_database
from satchel.gateway.store.deliveries import Lane
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.messages import Arrival, delivery_id, known_message_ids, record_arrivals
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID, messages
from satchel.gateway.store.webhooks import NewWebhook, add_webhook
from tests.unit.gateway.fakes import MAILBOX, recorded_deliveries, ref, summary


def arrivals(*message_ids: str) -> list[Arrival]:
    return [Arrival(ref(message_id), summary(ref(message_id))) for message_id in message_ids]


@pytest.mark.parametrize("table", ["mailboxes", "messages"])
def test_a_second_writer_between_looking_and_writing(engine: sa.Engine, tmp_path: Path, table: str) -> None:
    if table == "messages":
        add_mailbox(engine, MAILBOX)
    other = open_database(tmp_path / "data")
    told: list[frozenset[Lane]] = []
    expected: list[str] = []

    def interfere(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(f"INSERT INTO {table}") and not told:
            told.append(frozenset())
            add_mailbox(other, MAILBOX)
            hook = add_webhook(other, NewWebhook("w", "https://e.com/", [MAILBOX]))
            told.append(record_arrivals(other, DEFAULT_ACCOUNT_ID, arrivals("a", "b")))
            expected.extend(delivery_id(hook.webhook_id, message_id) for message_id in ("a", "b", "c"))

    sa.event.listen(engine, "before_cursor_execute", interfere)
    told.append(record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals("b", "c")))
    other.dispose()
    recorded = recorded_deliveries(engine)
    assert [id_ for id_, _ in recorded] == expected
    assert told[1:] == [{lane for _, lane in recorded}] * 2
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["a", "b", "c"]) == {"a", "b", "c"}


def test_a_message_that_comes_twice_in_one_batch(engine: sa.Engine) -> None:
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals("a", "a", "b"))
    assert known_message_ids(engine, DEFAULT_ACCOUNT_ID, ["a", "b"]) == {"a", "b"}


def test_a_message_that_could_not_be_read_is_numbered_when_it_can(engine: sa.Engine) -> None:
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, [Arrival(ref("late"), None), *arrivals("a")])
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals("late"))
    record_arrivals(engine, DEFAULT_ACCOUNT_ID, arrivals("b", "late"))
    with engine.connect() as connection:
        ids = connection.scalars(sa.select(messages.c.message_id).order_by(messages.c.id)).all()
    assert ids == ["a", "late", "b"]
