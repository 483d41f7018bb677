"""Signatures of Standard Webhooks: ours are accepted by its library and its by us, and nothing that was altered is."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from satchel.contract.signing import InvalidSignature, new_secret, signature_headers, signing_key, verify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "6d4c9a0e-3c43-4bb7-9a53-5a7d0a1f7a10"
BODY = '{"id": "AAMk=", "subject": "Grüße"}'.encode()
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")

secrets = st.one_of(
    st.binary(min_size=1, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode()),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
)
bodies = st.binary(max_size=500)


def signed(*with_: str, body: bytes = BODY, sent: datetime = NOW) -> dict[str, str]:
    return signature_headers(with_, ID, sent, body)


def is_refused(secret: str, headers: dict[str, str], body: bytes, now: datetime = NOW) -> bool:
    try:
        verify(secret, headers, body, now=now)
    except InvalidSignature:
        return True
    return False


def altered(data: st.DataObject, text: str) -> str:
    """The text with one character another one, one less, or one more."""
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.text(st.characters(max_codepoint=0x2FF), max_size=2))
    assume(text[:at] + put + text[at + 1 :] != text)
    return text[:at] + put + text[at + 1 :]


@given(secrets, bodies)
def test_what_was_signed_is_accepted(secret: str, body: bytes) -> None:
    assert verify(secret, signed(secret, body=body), body, now=NOW) == ID


@given(st.data(), secrets, st.binary(min_size=1, max_size=500))
def test_another_body_is_refused(data: st.DataObject, secret: str, body: bytes) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    put = data.draw(st.binary(max_size=2))
    other = body[:at] + put + body[at + 1 :]
    assume(other != body)
    assert is_refused(secret, signed(secret, body=body), other)


@given(st.data(), secrets, st.sampled_from(NAMES))
def test_another_header_is_refused(data: st.DataObject, secret: str, name: str) -> None:
    headers = signed(secret)
    # What comes behind a space is one more signature, and the first is as good as before.
    headers[name] = altered(data, headers[name]).replace(" ", "_")
    assert is_refused(secret, headers, BODY)


@given(st.data(), secrets)
def test_another_secret_is_refused(data: st.DataObject, secret: str) -> None:
    other = altered(data, secret)
    # Base64 has more than one way to write some keys, and HMAC fills keys up with zeros.
    assume(signing_key(other).rstrip(b"\0") != signing_key(secret).rstrip(b"\0"))
    assert is_refused(other, signed(secret), BODY)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_is_missing_is_refused(name: str) -> None:
    headers = signed("secret")
    del headers[name]
    assert is_refused("secret", headers, BODY)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", ["\udcff", "\xff", "v1,\udc80", "v1,\u20ac", "9" * 5000, "\u0661" * 10, "\r\n", ",", " "]
)
def test_headers_that_mean_nothing_are_refused(name: str, value: str) -> None:
    assert is_refused("secret", signed("secret") | {name: value}, BODY)


def test_nobody_signs_with_an_empty_secret() -> None:
    with pytest.raises(InvalidSignature, match="no secret"):
        verify("", signed(""), BODY, now=NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_what_was_signed_long_ago_is_refused(seconds: int) -> None:
    headers = signed("secret", sent=NOW - timedelta(seconds=seconds))
    with pytest.raises(InvalidSignature, match="too long ago, or a clock"):
        verify("secret", headers, BODY, now=NOW)
    assert verify("secret", headers, BODY, now=NOW, tolerance_seconds=100_000) == ID


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_clocks_may_differ_a_little(seconds: int) -> None:
    assert verify("secret", signed("secret", sent=NOW + timedelta(seconds=seconds)), BODY, now=NOW) == ID


def test_names_of_headers_have_no_case() -> None:
    assert verify("secret", {name.title(): value for name, value in signed("secret").items()}, BODY, now=NOW) == ID


def test_two_secrets_sign_while_one_is_changed() -> None:
    old, new = new_secret(), new_secret()
    headers = signed(old, new)
    assert [verify(secret, headers, BODY, now=NOW) for secret in (old, new)] == [ID, ID]
    assert is_refused(new_secret(), headers, BODY)


def test_a_flood_of_signatures_is_not_worked_through() -> None:
    headers = signed("secret")
    right = headers["webhook-signature"]
    headers["webhook-signature"] = " ".join(["v1,no"] * 15 + [right])
    assert verify("secret", headers, BODY, now=NOW) == ID
    headers["webhook-signature"] = " ".join(["v1,no"] * 16 + [right])
    assert is_refused("secret", headers, BODY)


def test_without_a_secret_nothing_is_signed() -> None:
    assert signed() == {"webhook-id": ID, "webhook-timestamp": str(int(NOW.timestamp()))}


def test_a_new_secret_is_in_the_standard_s_form_and_never_the_same() -> None:
    assert new_secret(lambda count: b"\x01" * count) == "whsec_" + base64.b64encode(b"\x01" * 32).decode()
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_AQID", b"\x01\x02\x03"),
        ("whsec_AQIDBA==", b"\x01\x02\x03\x04"),
        ("whsec_AQIDBA", b"\x01\x02\x03\x04"),
        ("AQID", b"AQID"),
        ("whsec_", b"whsec_"),
        ("whsec_not/base64!", b"whsec_not/base64!"),
    ],
)
def test_the_key_behind_a_secret(secret: str, key: bytes) -> None:
    assert signing_key(secret) == key


keys = st.binary(min_size=1, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
events = st.dictionaries(st.text(max_size=9), st.text(max_size=9)).map(lambda each: json.dumps(each).encode())


@given(keys, keys, events)
def test_the_library_of_the_standard_accepts_ours(old: str, new: str, body: bytes) -> None:
    headers = signed(old, new, body=body, sent=datetime.now(UTC))
    for secret in {old, new}:
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(body + b" ", headers)


@given(keys, keys, events)
def test_we_accept_the_library_s(old: str, new: str, body: bytes) -> None:
    signatures = [Webhook(secret).sign(ID, NOW, body.decode()) for secret in (old, new)]
    headers = dict(zip(NAMES, (ID, str(int(NOW.timestamp())), " ".join(signatures)), strict=True))
    assert [verify(secret, headers, body, now=NOW) for secret in (old, new)] == [ID, ID]
    assert is_refused(old, headers, body + b" ")


def test_a_secret_of_one_s_own_making_is_given_to_the_library_in_base64() -> None:
    secret = "a secret of 16 or more"
    headers = signed(secret, body=b"{}", sent=datetime.now(UTC))
    assert Webhook(base64.b64encode(secret.encode()).decode()).verify(b"{}", headers) == {}
