"""Secrets of webhooks in the store: only sealed ones, changed over to the next without a gap, and sealed anew."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from satchel.gateway.sealing import MasterKey, SealingError
from satchel.gateway.store.accounts import register_accounts
from satchel.gateway.store.audit import Acting, list_events
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.secrets import (
    NoRotation,
    SealedSecrets,
    advice_on,
    cancel_rotation,
    finish_rotation,
    look_at_secrets,
    reseal,
    rotate_secret,
    set_secret,
    unreadable_secrets,
)
from satchel.gateway.store.tables import webhooks
from satchel.gateway.store.webhook_changes import remove_webhook
from satchel.gateway.store.webhooks import NewWebhook, UnknownWebhook, add_webhook, find_webhook
from tests.unit.gateway.fakes import MAILBOX, MASTER_KEY

OLD, NEXT, OTHER = "old-secret-of-some-length", "next-secret-of-some-length", "other-secret-of-some-length"
NEW_KEY = MasterKey([b"n" * 32])
BOTH_KEYS = MasterKey([b"n" * 32, bytes(32)])


def add(engine: sa.Engine, name: str = "w", secret: str | None = OLD, acting: Acting | None = None) -> str:
    who = acting or Acting()
    add_mailbox(engine, MAILBOX, acting=who)
    new = NewWebhook(name, "https://example.com/", [MAILBOX], secret=secret)
    return add_webhook(engine, new, master_key=MASTER_KEY, acting=who).webhook_id


def kept(engine: sa.Engine, webhook_id: str, master_key: MasterKey = MASTER_KEY) -> list[str | None]:
    """The secret and the next one, opened."""
    query = sa.select(webhooks.c.sealed_secret, webhooks.c.sealed_next_secret).where(webhooks.c.id == webhook_id)
    with engine.connect() as connection:
        row = connection.execute(query).one()
    return [None if text is None else master_key.unseal(text, webhook_id) for text in row]


def acts(engine: sa.Engine) -> list[tuple[str, str]]:
    return [(event.actor, event.action) for event in list_events(engine) if event.subject_kind == "webhook"][1:]


def test_a_secret_is_given_at_once(engine: sa.Engine) -> None:
    hook = add(engine)
    row = set_secret(engine, "w", OTHER, master_key=MASTER_KEY, actor="cli:7")
    assert (row.has_secret, kept(engine, hook)) == (True, [OTHER, None])
    assert not set_secret(engine, "w", None, master_key=None, actor="cli:7").has_secret
    assert kept(engine, hook) == [None, None]
    assert acts(engine) == [("cli:7", "webhook.rekeyed")] * 2


def test_a_secret_is_changed_over(engine: sa.Engine) -> None:
    hook = add(engine)
    row = rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY, actor="cli:7")
    assert (row.has_secret, row.has_next_secret, kept(engine, hook)) == (True, True, [OLD, NEXT])
    with pytest.raises(NoRotation, match=r"already.*secret finish, or cancel"):
        rotate_secret(engine, "w", OTHER, master_key=MASTER_KEY)
    assert not finish_rotation(engine, "w", actor="cli:7").has_next_secret
    assert kept(engine, hook) == [NEXT, None]
    assert acts(engine) == [("cli:7", "webhook.rekeyed")] * 2


def test_a_change_is_given_up(engine: sa.Engine) -> None:
    hook = add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    assert not cancel_rotation(engine, "w").has_next_secret
    assert kept(engine, hook) == [OLD, None]


def test_a_secret_that_is_set_ends_a_change(engine: sa.Engine) -> None:
    hook = add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    set_secret(engine, "w", OTHER, master_key=MASTER_KEY)
    assert kept(engine, hook) == [OTHER, None]


@pytest.mark.parametrize("end", [finish_rotation, cancel_rotation])
def test_what_was_not_begun_does_not_end(engine: sa.Engine, end: Callable[..., object]) -> None:
    add(engine)
    with pytest.raises(NoRotation, match="satchel gateway webhooks secret rotate"):
        end(engine, "w")
    assert acts(engine) == []


def test_without_a_secret_there_is_none_to_change(engine: sa.Engine) -> None:
    add(engine, secret=None)
    with pytest.raises(NoRotation, match="satchel gateway webhooks secret set"):
        rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)


def test_the_next_secret_is_another(engine: sa.Engine) -> None:
    hook = add(engine)
    with pytest.raises(NoRotation, match="Name another"):
        rotate_secret(engine, "w", OLD, master_key=MASTER_KEY)
    assert kept(engine, hook) == [OLD, None]


def test_a_secret_that_does_not_open_is_not_changed_over(engine: sa.Engine) -> None:
    hook = add(engine)
    with pytest.raises(SealingError, match="another master key"):
        rotate_secret(engine, "w", NEXT, master_key=NEW_KEY)
    assert kept(engine, hook) == [OLD, None]


def test_a_removed_webhook_has_no_secret(engine: sa.Engine) -> None:
    hook = add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    remove_webhook(engine, "w")
    assert kept(engine, hook) == [None, None]
    assert look_at_secrets(engine, None) == SealedSecrets(0, 0, [])
    with pytest.raises(UnknownWebhook):
        set_secret(engine, hook, OTHER, master_key=MASTER_KEY)


def test_secrets_that_do_not_open_are_found(engine: sa.Engine) -> None:
    hook = add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    plain = add(engine, "plain", secret=None)
    assert unreadable_secrets(engine, MASTER_KEY) == []
    for key in (None, NEW_KEY):
        found = unreadable_secrets(engine, key)
        assert [one.webhook_id for one in found] == [hook, hook]
        advice = advice_on(found)
        assert advice.startswith(f"The secret of 1 webhook cannot be opened ({hook}).")
        for words in ("SATCHEL_MASTER_KEY", "If the key is lost", "satchel gateway webhooks secret set"):
            assert words in advice
        assert plain not in advice
    assert look_at_secrets(engine, BOTH_KEYS) == SealedSecrets(2, 0, [])


def test_one_that_was_put_where_another_belongs_does_not_open(engine: sa.Engine) -> None:
    one, other = add(engine, "one"), add(engine, "other", secret=OTHER)
    stolen = sa.select(webhooks.c.sealed_secret).where(webhooks.c.id == one).scalar_subquery()
    with engine.begin() as connection:
        connection.execute(sa.update(webhooks).where(webhooks.c.id == other).values(sealed_secret=stolen))
    [found] = unreadable_secrets(engine, MASTER_KEY)
    assert (found.webhook_id, "belongs to something else" in found.why) == (other, True)


def test_a_few_of_many_are_named(engine: sa.Engine) -> None:
    for number in range(5):
        add(engine, f"w{number}")
    assert "and 2 more)" in advice_on(unreadable_secrets(engine, None))


def test_accounts_are_looked_at_apart(engine: sa.Engine) -> None:
    acme = register_accounts(engine, ["acme"], actor="cli:0")["acme"]
    add(engine)
    assert look_at_secrets(engine, None, acme) == SealedSecrets(0, 0, [])
    add(engine, "theirs", acting=Acting(acme))
    [found] = look_at_secrets(engine, None, acme).unreadable
    assert found.account_id == acme


def test_all_are_sealed_anew(engine: sa.Engine) -> None:
    hook = add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    fresh = add(engine, "fresh")
    set_secret(engine, "fresh", OTHER, master_key=BOTH_KEYS)
    assert reseal(engine, BOTH_KEYS, actor="cli:7") == 2
    assert kept(engine, hook, NEW_KEY) == [OLD, NEXT]
    assert kept(engine, fresh, NEW_KEY) == [OTHER, None]
    assert acts(engine)[-2:] == [("cli:7", "webhook.resealed")] * 2
    assert reseal(engine, NEW_KEY, actor="cli:7") == 0


def test_where_one_does_not_open_none_is_sealed_anew(engine: sa.Engine) -> None:
    hook = add(engine)
    add(engine, "strange")
    set_secret(engine, "strange", OTHER, master_key=MasterKey([b"x" * 32]))
    with pytest.raises(SealingError, match="cannot be opened"):
        reseal(engine, BOTH_KEYS, actor="cli:7")
    assert kept(engine, hook, MASTER_KEY) == [OLD, None]


def test_no_secret_lies_open_in_any_file(engine: sa.Engine, tmp_path: Path) -> None:
    add(engine)
    rotate_secret(engine, "w", NEXT, master_key=MASTER_KEY)
    finish_rotation(engine, "w")
    set_secret(engine, "w", OTHER, master_key=MASTER_KEY)
    reseal(engine, BOTH_KEYS, actor="cli:7")
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert b"https://example.com/" in written
    for secret in (OLD, NEXT, OTHER):
        assert secret.encode() not in written
    assert "secret-of-some-length" not in repr(find_webhook(engine, "w"))
