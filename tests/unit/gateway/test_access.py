import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from satchel.contract.errors import Forbidden, Reason, Unauthorized
from satchel.contract.scopes import Scope
from satchel.gateway.access import (
    KeyRecord,
    bearer_key,
    hash_key,
    is_well_formed,
    judge_account,
    judge_key,
    new_key,
    require_scopes,
    short_identifier,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = new_key(lambda count: b"\x07" * count)


RECORD = KeyRecord("k", "a", hash_key(KEY), frozenset({Scope.MESSAGES_READ}), expires_at=None, revoked_at=None)


def record(**changes: Any) -> KeyRecord:
    return replace(RECORD, **changes)


@pytest.mark.parametrize("byte", [0, 7, 255])
def test_keys_have_one_form_and_length(byte: int) -> None:
    key = new_key(lambda count: bytes([byte]) * count)
    assert key.startswith("satchel_")
    assert len(key) == 8 + 43 + 6
    assert is_well_formed(key)


def test_the_expression_for_secret_scanners_finds_keys() -> None:
    page = (Path(__file__).parents[3] / "docs/gateway.md").read_text("utf-8")
    (expression,) = re.findall(r"(?m)^\\bsatchel_.+$", page)
    other = new_key()
    assert re.findall(expression, f"key={KEY}; x{KEY} {KEY}x '{other}'") == [KEY, other]


def test_two_keys_differ() -> None:
    assert new_key() != new_key()


def test_the_short_identifier_gives_little_away() -> None:
    assert short_identifier(KEY) == KEY[:14]


def test_a_single_changed_character_breaks_the_checksum() -> None:
    for place in range(8, len(KEY)):
        changed = KEY[:place] + ("A" if KEY[place] != "A" else "B") + KEY[place + 1 :]
        assert not is_well_formed(changed)


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"  BEARER   {KEY} "])
def test_the_key_of_a_header(header: str) -> None:
    assert bearer_key(header) == KEY


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, Reason.KEY_MISSING),
        ("", Reason.KEY_MISSING),
        ("   ", Reason.KEY_MISSING),
        ("Bearer", Reason.KEY_INVALID),
        ("Bearer ", Reason.KEY_INVALID),
        (KEY, Reason.KEY_INVALID),
        (f"Basic {KEY}", Reason.KEY_INVALID),
        (f"Bearer {KEY[:-1]}", Reason.KEY_INVALID),
        (f"Bearer {KEY}\n", None),
        ("Bearer " + "x" * 100_000, Reason.KEY_INVALID),
        ("Bearer satchel_é", Reason.KEY_INVALID),
    ],
)
def test_other_headers_are_unauthorized(header: str | None, reason: str | None) -> None:
    if reason is None:
        assert bearer_key(header) == KEY
        return
    with pytest.raises(Unauthorized) as caught:
        bearer_key(header)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, Reason.KEY_INVALID),
        (record(key_hash=hash_key("another")), Reason.KEY_INVALID),
        (record(revoked_at=NOW), Reason.KEY_INVALID),
        (record(expires_at=NOW), Reason.KEY_EXPIRED),
        (record(expires_at=NOW - timedelta(seconds=1)), Reason.KEY_EXPIRED),
        (record(expires_at=NOW - timedelta(seconds=1), revoked_at=NOW), Reason.KEY_INVALID),
    ],
)
def test_keys_that_may_not_be_used(found: KeyRecord | None, reason: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        judge_key(found, hash_key(KEY), NOW)
    assert caught.value.reason == reason


def test_a_key_is_good_until_it_expires() -> None:
    found = record(expires_at=NOW + timedelta(microseconds=1))
    assert judge_key(found, hash_key(KEY), NOW) is found


def test_a_key_of_an_account_that_is_not_served_is_an_unknown_one() -> None:
    assert judge_account(RECORD, {"a"}) is RECORD
    with pytest.raises(Unauthorized) as caught:
        judge_account(RECORD, {"b"})
    with pytest.raises(Unauthorized) as unknown:
        judge_key(None, hash_key(KEY), NOW)
    assert (caught.value.reason, caught.value.message) == (unknown.value.reason, unknown.value.message)


def test_all_scopes_of_a_route_are_needed() -> None:
    require_scopes(record(), frozenset({Scope.MESSAGES_READ}))
    require_scopes(record(), frozenset())
    with pytest.raises(Forbidden, match=r"Token does not have the required scope for this endpoint\."):
        require_scopes(record(), frozenset({Scope.MESSAGES_READ, Scope.REPORTING}))
