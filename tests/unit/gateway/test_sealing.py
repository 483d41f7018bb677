"""Secrets at rest: opened by their key and for what they belong to, and by nothing else."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from satchel.gateway.sealing import MasterKey, SealingError, new_master_key, seal_secret

OLD, NEW = MasterKey([b"o" * 32]), MasterKey([b"n" * 32])
BOTH = MasterKey([b"n" * 32, b"o" * 32])
SECRET = "a-secret-of-16-or-more"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_opens_again(secret: str, context: str) -> None:
    assert OLD.unseal(OLD.seal(secret, context), context) == secret


def test_it_opens_only_for_what_it_belongs_to() -> None:
    with pytest.raises(SealingError, match="belongs to something else"):
        OLD.unseal(OLD.seal(SECRET, "webhook-1"), "webhook-2")


def test_another_key_does_not_open_it_and_is_told_what_to_do() -> None:
    with pytest.raises(SealingError, match=r"another master key.*SATCHEL_MASTER_KEY, with a comma"):
        NEW.unseal(OLD.seal(SECRET, "w"), "w")


@given(st.data())
def test_nothing_damaged_opens(data: st.DataObject) -> None:
    sealed = OLD.seal(SECRET, "w")
    at = data.draw(st.integers(0, len(sealed) - 1))
    put = data.draw(st.text(st.characters(max_codepoint=0x2FF), max_size=2))
    damaged = sealed[:at] + put + sealed[at + 1 :]
    # Base64 has more than one way to write the same bytes at its end.
    assume(_sealed_bytes(damaged) != _sealed_bytes(sealed))
    with pytest.raises(SealingError):
        OLD.unseal(damaged, "w")


def _sealed_bytes(text: str) -> tuple[str, bytes]:
    head, _, rest = text.rpartition(":")
    try:
        return head, base64.b64decode(rest, validate=True)
    except ValueError:
        return head, text.encode()


@pytest.mark.parametrize("text", ["", "v1", "v1:", "plain text", "v2:x:y"])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    with pytest.raises(SealingError):
        OLD.unseal(text, "w")


def test_a_key_is_changed_without_a_stop() -> None:
    sealed_before = OLD.seal(SECRET, "w")
    assert (BOTH.unseal(sealed_before, "w"), BOTH.seals(sealed_before)) == (SECRET, False)
    sealed_after = BOTH.seal(BOTH.unseal(sealed_before, "w"), "w")
    assert (NEW.unseal(sealed_after, "w"), BOTH.seals(sealed_after)) == (SECRET, True)


def test_the_same_secret_never_looks_the_same() -> None:
    assert OLD.seal(SECRET, "w") != OLD.seal(SECRET, "w")


def test_a_new_key_is_one_and_never_the_same() -> None:
    one, other = new_master_key(), new_master_key()
    assert one != other
    key = MasterKey.parse(f" {one} ,{other}\n")
    assert MasterKey.parse(one).unseal(key.seal(SECRET, "w"), "w") == SECRET


@pytest.mark.parametrize(
    "text", ["", "short", base64.b64encode(b"k" * 31).decode(), base64.b64encode(b"k" * 33).decode(), ",", "é" * 44]
)
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SealingError, match="satchel gateway master-key new") as refused:
        MasterKey.parse(text)
    assert len(text) < 3 or text not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "grüße-grüße-grüße", "\x7f" * 16])
def test_a_secret_that_no_header_carries_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        seal_secret(secret, "w", OLD)


def test_a_secret_in_the_standard_s_form_must_hold_a_key() -> None:
    with pytest.raises(ValueError, match="base64"):
        seal_secret("whsec_not-base64-at-all", "w", OLD)
    assert OLD.unseal(seal_secret("whsec_AQIDBA==", "w", OLD), "w") == "whsec_AQIDBA=="


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(ValueError, match=r"SATCHEL_MASTER_KEY_FILE.*satchel gateway master-key new"):
        seal_secret(SECRET, "w", None)
