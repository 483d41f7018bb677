"""Sizes and digests of contents: each account's own, changed, forgotten, and removed when nobody asks for them."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.gateway import retention
from satchel.gateway.retention import Kept, remove_old
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.content_facts import find_facts, remove_unused_facts, save_fact
from satchel.gateway.store.database import Store
from satchel.gateway.store.tables import DEFAULT_ACCOUNT_ID
from satchel.mail.host import ContentFact

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACTS = Kept("content_facts", 90, remove_unused_facts)
ONE, OTHER = ContentFact(816, "a" * 64), ContentFact(5 * 2**40, "b" * 64)


def known(engine: sa.Engine, *keys: str, account_id: str = DEFAULT_ACCOUNT_ID, at: datetime = NOW) -> dict[str, object]:
    return dict(find_facts(engine, account_id, keys, at))


def test_what_was_saved_is_found_and_nothing_else(engine: sa.Engine) -> None:
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", ONE, NOW)
    save_fact(engine, DEFAULT_ACCOUNT_ID, "other", OTHER, NOW)
    assert known(engine, "one", "other", "third") == {"one": ONE, "other": OTHER}
    assert known(engine, "One") == known(engine) == {}


def test_a_fact_can_change_and_be_forgotten(engine: sa.Engine) -> None:
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", ONE, NOW)
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", OTHER, NOW)
    assert known(engine, "one") == {"one": OTHER}
    for _ in range(2):
        save_fact(engine, DEFAULT_ACCOUNT_ID, "one", None, NOW)
    assert known(engine, "one") == {}


def test_accounts_do_not_see_each_other_s(engine: sa.Engine) -> None:
    second = register_accounts(engine, ["second"], actor="test")["second"]
    save_fact(engine, second, "one", ONE, NOW)
    assert known(engine, "one") == {}
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", OTHER, NOW)
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", None, NOW)
    assert known(engine, "one", account_id=second) == {"one": ONE}


def test_thousands_are_found_at_once(engine: sa.Engine) -> None:
    save_fact(engine, DEFAULT_ACCOUNT_ID, "4999", ONE, NOW)
    assert known(engine, *map(str, range(5000))) == {"4999": ONE}


def test_what_is_asked_for_stays(engine: sa.Engine) -> None:
    for key in ("used", "unused"):
        save_fact(engine, DEFAULT_ACCOUNT_ID, key, ONE, NOW)
    known(engine, "used", at=NOW + timedelta(days=10))
    assert remove_unused_facts(engine, NOW + timedelta(days=5), 10) == 1
    assert known(engine, "used", "unused") == {"used": ONE}


def test_asking_often_writes_nothing(engine: sa.Engine) -> None:
    save_fact(engine, DEFAULT_ACCOUNT_ID, "one", ONE, NOW)
    written: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: written.append(given[2].split()[0]))
    known(engine, "one", at=NOW + timedelta(hours=23))
    assert written == ["SELECT"]
    known(engine, "one", at=NOW + timedelta(hours=25))
    assert written[1:] == ["SELECT", "UPDATE"]


async def test_the_unused_are_removed_in_batches(
    engine: sa.Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for days in range(7):
        save_fact(engine, DEFAULT_ACCOUNT_ID, str(days), ONE, NOW + timedelta(days=days))
    with capture_logs() as log:
        assert await remove_old(store, FACTS, NOW + timedelta(days=5)) == 5
        assert await remove_old(store, FACTS, NOW + timedelta(days=5)) == 0
    assert [line["count"] for line in log] == [5]
    assert sorted(known(engine, *map(str, range(7)), at=NOW)) == ["5", "6"]
