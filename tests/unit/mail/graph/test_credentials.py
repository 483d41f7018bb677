import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from satchel.mail.graph import credentials
from satchel.mail.graph.credentials import (
    CachedTokens,
    CredentialOptions,
    Issued,
    TokenRefused,
    _credential,
    azure_tokens,
)
from satchel.mail.source import SourceUnavailable


def now() -> float:
    return asyncio.get_running_loop().time()


class Authority:
    """Issues numbered tokens that live for so long; takes a second for each."""

    def __init__(self, life_seconds: float = 3_600) -> None:
        self.life_seconds = life_seconds
        self.issued = 0
        self.failure: Exception | None = None

    async def __call__(self) -> Issued:
        begun = now()
        await asyncio.sleep(1)
        self.issued += 1
        if self.failure is not None:
            raise self.failure
        return Issued(f"t{self.issued}", begun, begun + self.life_seconds)

    def tokens(self) -> CachedTokens:
        return CachedTokens(self, clock=now)


async def test_one_token_for_all_who_ask() -> None:
    authority = Authority()
    tokens = authority.tokens()
    assert set(await asyncio.gather(*(tokens.token() for _ in range(9)))) == {"t1"}
    await asyncio.sleep(2_900)
    assert await tokens.token() == "t1"
    assert authority.issued == 1


async def test_it_is_renewed_ahead_and_nobody_waits_for_that() -> None:
    authority = Authority()
    tokens = authority.tokens()
    await tokens.token()
    await asyncio.sleep(3_100)
    before = now()
    assert await tokens.token() == "t1"
    assert now() == before
    await asyncio.sleep(2)
    assert await tokens.token() == "t2"


async def test_the_one_at_hand_serves_while_no_other_can_be_had() -> None:
    authority = Authority()
    tokens = authority.tokens()
    await tokens.token()
    await asyncio.sleep(3_100)
    authority.failure = SourceUnavailable("no")
    for _ in range(3):
        assert await tokens.token() == "t1"
        await asyncio.sleep(2)
    await asyncio.sleep(500)
    with pytest.raises(SourceUnavailable):
        await tokens.token()


async def test_a_short_life_is_no_endless_renewing() -> None:
    authority = Authority(life_seconds=60)
    tokens = authority.tokens()
    await tokens.token()
    await asyncio.sleep(40)
    await tokens.token()
    assert authority.issued == 1
    await asyncio.sleep(20)
    assert await tokens.token() == "t2"


async def test_a_stale_token_is_renewed_once_for_all() -> None:
    authority = Authority()
    tokens = authority.tokens()
    stale = await tokens.token()
    assert set(await asyncio.gather(*(tokens.renewed(stale) for _ in range(9)))) == {"t2"}
    # One who comes late with it gets the new one.
    assert await tokens.renewed(stale) == "t2"
    assert authority.issued == 2


async def test_one_who_gives_up_does_not_take_it_from_the_others() -> None:
    tokens = Authority().tokens()
    tasks = [asyncio.create_task(tokens.token()) for _ in range(2)]
    await asyncio.sleep(0.5)
    tasks[0].cancel()
    assert await tasks[1] == "t1"


async def test_a_refusal_stands_for_a_while() -> None:
    authority = Authority()
    authority.failure = TokenRefused("The authority refused a token (AADSTS7000215).", "AADSTS7000215")
    tokens = authority.tokens()
    for _ in range(3):
        with pytest.raises(TokenRefused) as caught:
            await tokens.token()
        assert (caught.value.code, caught.value.upstream_status) == ("AADSTS7000215", 401)
    assert authority.issued == 1
    await asyncio.sleep(11)
    authority.failure = None
    assert await tokens.token() == "t2"


async def test_closing_ends_a_renewal_under_way() -> None:
    tokens = Authority().tokens()
    task = asyncio.create_task(tokens.token())
    await asyncio.sleep(0.5)
    await tokens.aclose()
    await asyncio.wait({task})
    assert task.cancelled()


SECRET = CredentialOptions(
    kind="secret",
    authority="https://login.example",
    base_url="https://graph.example",
    tenant_id="tenant",
    client_id="client",
    client_secret="s3cret",
)


class FakeCredential:
    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def get_token(self, scope: str) -> None:
        assert scope == "https://graph.example/.default"
        raise self.failure


class Response:
    def __init__(self, status: int) -> None:
        self.status_code = status
        self.reason = "x"


def refused(text: str, status: int | None = None) -> ClientAuthenticationError:
    return ClientAuthenticationError(text, response=None if status is None else Response(status))


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (refused("AADSTS7000215: Invalid client secret s3cret provided.", 401), "AADSTS7000215"),
        (refused("AADSTS90002: Tenant 'x' not found.", 400), "AADSTS90002"),
        (refused("something else", 400), ""),
        (refused("Authentication failed: 503", 503), None),
        (refused("slow down", 429), None),
        (ServiceRequestError("cannot connect with s3cret"), None),
        (OSError("s3cret"), None),
    ],
)
async def test_why_there_is_no_token(monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str | None) -> None:
    made: Callable[[CredentialOptions], FakeCredential] = lambda options: FakeCredential(failure)  # noqa: E731
    monkeypatch.setattr(credentials, "_credential", made)
    with pytest.raises(SourceUnavailable) as caught:
        await azure_tokens(SECRET).token()
    assert isinstance(caught.value, TokenRefused) is (code is not None)
    assert getattr(caught.value, "code", None) == code
    assert "s3cret" not in str(caught.value)


async def test_an_authority_that_does_not_answer_keeps_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(FakeCredential):
        async def get_token(self, scope: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(credentials, "_credential", lambda options: Silent(OSError()))
    begun = now()
    with pytest.raises(SourceUnavailable) as caught:
        await azure_tokens(SECRET).token()
    assert not isinstance(caught.value, TokenRefused)
    assert now() - begun >= 30


@pytest.mark.parametrize(
    "options",
    [
        CredentialOptions(kind="secret", authority="https://a", base_url="https://b"),
        CredentialOptions("certificate", "https://a", "https://b", "t", "c", certificate_file=Path("/nowhere")),
        CredentialOptions("certificate", "https://a", "https://b", "t", "c", certificate_file=Path(__file__)),
        CredentialOptions("workload_identity", "https://a", "https://b", "t", "c"),
        CredentialOptions("secret", "http://not.https", "https://b", "t", "c", "s"),
    ],
    ids=lambda options: options.kind,
)
async def test_a_credential_that_cannot_be_read_is_a_refusal(options: CredentialOptions) -> None:
    with pytest.raises(TokenRefused):
        await azure_tokens(options).token()


async def test_every_kind_of_credential_can_be_made(tmp_path: Path) -> None:
    for kind in ("secret", "managed_identity", "workload_identity"):
        options = CredentialOptions(
            kind=kind,
            authority="https://login.example",
            base_url="https://graph.example",
            tenant_id="tenant",
            client_id="client",
            client_secret="s3cret",
            federated_token_file=tmp_path / "token",
        )
        assert "s3cret" not in repr(options)
        async with _credential(options) as made:
            assert type(made).__name__.lower().startswith(kind.replace("_", "").replace("secret", "client"))
