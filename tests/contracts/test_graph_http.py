"""The Graph source against the simulator's faults of calls, over real connections and with real tokens."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from satchel.mail.graph.credentials import CredentialOptions, TokenRefused, azure_tokens
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import Place
from satchel.mail.graph.options import ArrivalOptions, CallOptions, GraphOptions
from satchel.mail.graph.source import GraphSource
from satchel.mail.source import MessageNotFound, MessageRef, NotReady, SourceUnavailable
from satchel.testing.content import Generated
from satchel.testing.graph import ALWAYS, ARCHIVE, Faults, GraphSimulator, chance, next_calls
from satchel.testing.host import MemoryHost
from satchel.testing.mail import message_with_files
from tests.contracts.offices import MAILBOX, OTHER, GraphOffice

FILES, SIZE = 8, 100_000


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[GraphOffice]:
    async with GraphSimulator(tls=True, folder=tmp_path) as simulator:
        simulator.add_mailbox(OTHER)
        yield GraphOffice(simulator)


@pytest.fixture
async def source(office: GraphOffice) -> AsyncIterator[GraphSource]:
    async with aclosing(office.source()) as opened:
        yield opened


@pytest.fixture
def ref(office: GraphOffice) -> MessageRef:
    mail = message_with_files(1, FILES, SIZE)
    return Place(office.simulator.deliver(MAILBOX, mail), mail.internet_message_id).ref(MAILBOX)


async def read_all(source: GraphSource, ref: MessageRef) -> None:
    """List the message and read all of its files at once; all must be right."""

    async def digest(attachment_id: str) -> str:
        content = await source.open(ref, attachment_id)
        try:
            read = hashlib.sha256()
            async for piece in content.chunks():
                read.update(piece)
            return read.hexdigest()
        finally:
            await content.aclose()

    listed = await source.list(ref)
    expected = [
        hashlib.sha256(b"".join(Generated(SIZE, 1_000 + index).pieces(0, SIZE))).hexdigest() for index in range(FILES)
    ]
    assert await asyncio.gather(*(digest(each.id) for each in listed)) == expected


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(throttle=next_calls(2), retry_after_seconds=1),
        Faults(throttle_silently=next_calls(3)),
        Faults(unavailable=next_calls(2)),
        Faults(gateway_timeout=next_calls(2)),
        Faults(gateway_page=next_calls(2)),
        Faults(hang_up=next_calls(2)),
        Faults(refuse_token=next_calls(1)),
        Faults(reset=next_calls(2), reset_after_bytes=60_000),
        Faults(attachments_per_page=3),
        Faults(unavailable=chance(0.15), throttle_silently=chance(0.15), reset=chance(0.1)),
    ],
    ids=lambda faults: "+".join(name for name, value in faults.as_json().items() if value != Faults().as_json()[name]),
)
async def test_everything_comes_right_within_the_limits(
    office: GraphOffice, source: GraphSource, ref: MessageRef, faults: Faults
) -> None:
    office.simulator.faults = faults
    await read_all(source, ref)
    assert office.simulator.peaks.mailboxes[MAILBOX] <= 4


async def test_a_retry_after_beyond_the_patience_is_told(
    office: GraphOffice, source: GraphSource, ref: MessageRef
) -> None:
    office.simulator.faults = Faults(throttle=ALWAYS, retry_after_seconds=90)
    for _ in range(2):
        with pytest.raises(SourceUnavailable) as caught:
            await source.list(ref)
        assert caught.value.upstream_status == 429
        assert caught.value.retry_after_seconds == pytest.approx(90, abs=5)
    assert len(office.simulator.calls) == 1


async def test_revoked_tokens_are_replaced_once(office: GraphOffice, source: GraphSource, ref: MessageRef) -> None:
    await source.list(ref)
    given = office.simulator.world.tokens.given
    office.simulator.revoke_tokens()
    await asyncio.gather(*(source.list(ref) for _ in range(9)))
    assert office.simulator.world.tokens.given == given + 1


async def test_an_application_that_graph_refuses_for_good(
    office: GraphOffice, source: GraphSource, ref: MessageRef
) -> None:
    office.simulator.faults = Faults(refuse_token=ALWAYS)
    with pytest.raises(SourceUnavailable) as caught:
        await source.list(ref)
    assert caught.value.upstream_status == 401
    assert len(office.simulator.calls) == 2


async def test_a_mailbox_that_is_refused_to_the_application(office: GraphOffice) -> None:
    office.simulator.add_mailbox("boss@example.com", refused=True)
    message_id = office.simulator.deliver("boss@example.com", message_with_files(1, 1, 10))
    async with aclosing(office.source(["boss@example.com"])) as source:
        with pytest.raises(SourceUnavailable) as caught:
            await source.list(Place(message_id).ref("boss@example.com"))
        assert caught.value.upstream_status == 403


async def test_every_call_asks_for_immutable_ids(office: GraphOffice, source: GraphSource, ref: MessageRef) -> None:
    await source.describe(ref)
    await read_all(source, ref)
    assert await source.resolve(office.simulator.mutable_id(MAILBOX, ref.message_id), [MAILBOX])
    assert all('IdType="ImmutableId"' in call.prefer for call in office.simulator.calls)


async def test_a_move_to_a_folder_changes_nothing(office: GraphOffice, source: GraphSource, ref: MessageRef) -> None:
    before = await source.list(ref)
    office.simulator.move(MAILBOX, ref.message_id, "deleteditems")
    assert [each.id for each in await source.list(ref)] == [each.id for each in before]
    await read_all(source, ref)


@pytest.mark.parametrize("way", ["archived", "migrated"])
async def test_a_message_with_a_new_id_is_found_by_its_message_id(
    office: GraphOffice, source: GraphSource, ref: MessageRef, way: str
) -> None:
    before = await source.list(ref)
    # With all by which it is found again.
    ref = (await source.describe(ref)).ref
    if way == "archived":
        assert office.simulator.move(MAILBOX, ref.message_id, ARCHIVE) != ref.message_id
    else:
        office.simulator.burn(MAILBOX)
    await read_all(source, ref)
    assert {each.id for each in await source.list(ref)}.isdisjoint(each.id for each in before)
    assert (await source.describe(ref)).ref == ref


async def test_a_message_that_was_deleted_is_gone(office: GraphOffice, source: GraphSource, ref: MessageRef) -> None:
    await source.list(ref)
    office.simulator.delete(MAILBOX, ref.message_id)
    with pytest.raises(MessageNotFound):
        await source.list(ref)


async def test_a_mutable_id_from_elsewhere_is_resolved(
    office: GraphOffice, source: GraphSource, ref: MessageRef
) -> None:
    mutable = office.simulator.mutable_id(MAILBOX, ref.message_id)
    assert mutable != ref.message_id
    ref = (await source.describe(ref)).ref
    assert await source.resolve(mutable, [OTHER, MAILBOX]) == ref
    assert await source.resolve(ref.message_id, [MAILBOX]) == ref
    assert await source.resolve(mutable, [OTHER]) is None
    assert await source.resolve(mutable, ["nobody@example.com"]) is None


async def test_a_message_that_graph_does_not_know_yet(office: GraphOffice, source: GraphSource) -> None:
    office.simulator.faults.unknown_for_seconds = 0.4
    mail = message_with_files(1, FILES, SIZE)
    message_id = office.simulator.deliver(MAILBOX, mail)
    await read_all(source, Place(message_id).ref(MAILBOX))
    assert [call.status for call in office.simulator.calls][:2] == [404, 200]


async def test_a_placeholder_becomes_the_files(office: GraphOffice, source: GraphSource) -> None:
    office.simulator.faults.placeholder_seconds = 1.0
    mail = message_with_files(1, FILES, SIZE)
    ref = Place(office.simulator.deliver(MAILBOX, mail), mail.internet_message_id).ref(MAILBOX)
    for call in (source.list(ref), source.describe(ref)):
        with pytest.raises(NotReady):
            await call
    await asyncio.sleep(1.1)
    await read_all(source, ref)
    assert (await source.describe(ref)).has_attachments


async def test_a_placeholder_is_given_out_when_it_has_stood_too_long(office: GraphOffice) -> None:
    office.simulator.faults.placeholder_seconds = 60.0
    ref = Place(office.simulator.deliver(MAILBOX, message_with_files(1, 2, 10))).ref(MAILBOX)
    async with aclosing(office.source()) as plain:
        options = replace(plain._options, arrivals=ArrivalOptions(placeholder_wait_seconds=0.0))
        source = GraphSource(options, plain._tokens, MemoryHost())
        assert len(await source.list(ref)) == 1
        await source.aclose()


async def test_a_server_that_is_not_trusted(office: GraphOffice, ref: MessageRef) -> None:
    calls = CallOptions(base_url=office.simulator.base_url, patience_seconds=0.1)
    async with aclosing(office.source(calls=calls)) as source:
        with pytest.raises(SourceUnavailable, match="certificate") as caught:
            await source.list(ref)
    assert caught.value.upstream_status is None


async def test_a_server_that_is_not_there() -> None:
    class Token:
        async def token(self) -> str:
            return "t"

        async def renewed(self, stale: str) -> str:
            return "t"

        async def aclose(self) -> None: ...

    calls = CallOptions(base_url="http://127.0.0.1:9", patience_seconds=0.1)
    source = GraphSource(GraphOptions(mailboxes=[MAILBOX], calls=calls), Token(), MemoryHost())
    with pytest.raises(SourceUnavailable, match="refused"):
        await source.list(Place("A" * 30).ref(MAILBOX))
    await source.aclose()


async def test_a_silent_server_is_given_up(office: GraphOffice, ref: MessageRef) -> None:
    simulator = office.simulator
    simulator.faults = Faults(latency_seconds=30.0)
    calls = CallOptions(
        base_url=simulator.base_url, ca_file=simulator.ca_file, read_timeout_seconds=0.2, patience_seconds=0.0
    )
    async with aclosing(office.source(calls=calls)) as source:
        with pytest.raises(SourceUnavailable, match="timeout"):
            await source.list(ref)


async def test_each_credential_that_needs_no_platform(office: GraphOffice, ref: MessageRef, tmp_path: Path) -> None:
    simulator = office.simulator
    federated = tmp_path / "federated"
    federated.write_text(simulator.federated_token)
    right = CredentialOptions(
        kind="secret",
        authority=simulator.base_url,
        base_url=simulator.base_url,
        tenant_id=simulator.tenant_id,
        client_id=simulator.client_id,
        client_secret=simulator.client_secret,
        certificate_file=simulator.client_certificate_file,
        federated_token_file=federated,
        ca_file=simulator.ca_file,
    )
    for options in (right, replace(right, kind="certificate"), replace(right, kind="workload_identity")):
        tokens = azure_tokens(options)
        http = GraphHttp(CallOptions(base_url=simulator.base_url, ca_file=simulator.ca_file), tokens)
        assert (await http.get(f"users/{MAILBOX}/messages/{ref.message_id}", mailbox=MAILBOX, as_=dict))["id"]
        await http.aclose()
        await tokens.aclose()
    for options, code in (
        (replace(right, client_secret="wrong"), "AADSTS7000215"),
        (replace(right, tenant_id="11111111-1111-1111-1111-111111111111"), "AADSTS90002"),
        (replace(right, client_id="11111111-1111-1111-1111-111111111111"), "AADSTS700016"),
    ):
        with pytest.raises(TokenRefused) as caught:
            await azure_tokens(options).token()
        assert caught.value.code == code
        assert "wrong" not in str(caught.value)
    for options in (replace(right, ca_file=None), replace(right, authority="https://127.0.0.1:9")):
        with pytest.raises(SourceUnavailable) as unreachable:
            await azure_tokens(options).token()
        assert not isinstance(unreachable.value, TokenRefused)
