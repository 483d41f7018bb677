"""The doctor over the simulator and a URL of ours, with each thing that can be wrong made wrong: what it finds."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from satchel.gateway.findings import Finding, Verdict
from satchel.gateway.graph.doctor import NOTIFICATION_PATHS, GraphDoctor
from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.sources import credential_options, graph_options
from satchel.mail.graph.credentials import azure_tokens
from satchel.mail.graph.probe import GraphProbe
from satchel.testing.graph import ALWAYS, Faults, GraphSimulator
from satchel.testing.graph.certificates import make_server_certificate
from satchel.testing.stack import free_port

MAILBOX, BOSS = "invoices@example.test", "boss@example.test"
NO_ANSWER = {"mailbox": "failure", "refused_mailbox": "unknown", "clock": "unknown", "throttling": "unknown"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def graph() -> AsyncIterator[GraphSimulator]:
    async with GraphSimulator() as simulator:
        # As RBAC for Applications leaves it: what may be read is nowhere in the token.
        simulator.roles, simulator.exchange_roles = (), ("Mail.Read",)
        simulator.add_mailbox(MAILBOX)
        simulator.add_mailbox(BOSS, refused=True)
        yield simulator


def settings(graph: GraphSimulator, **changes: Any) -> GraphSettings:
    values: dict[str, Any] = {
        "tenant_id": graph.tenant_id,
        "client_id": graph.client_id,
        "client_secret": graph.client_secret,
        "authority": graph.base_url,
        "base_url": graph.base_url,
        "ca_file": graph.ca_file,
        "mailboxes": [MAILBOX],
        "refused_mailbox": BOSS,
    }
    return GraphSettings(**values | changes)


async def examined(
    wanted: GraphSettings, *, ca_file: Path | None = None, clock: timedelta = timedelta(), check_seconds: float = 10.0
) -> dict[str, Finding]:
    """What was found, the worst of each check; the clock of this machine may be off."""
    options = graph_options(wanted).calls
    prober = GraphProbe(
        replace(options, connect_timeout_seconds=3.0),
        azure_tokens(credential_options(wanted)),
        public_ca_file=ca_file,
        now=lambda: datetime.now(UTC) + clock,
    )
    async with prober:
        findings = await GraphDoctor(wanted, prober, [], check_seconds=check_seconds).examine()
    order = list(Verdict)
    return {finding.check: finding for finding in sorted(findings, key=lambda each: order.index(each.verdict))}


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    return {check: finding.verdict.value for check, finding in found.items() if finding.verdict is not Verdict.GOOD}


async def test_all_is_well(graph: GraphSimulator) -> None:
    found = await examined(settings(graph))
    assert verdicts(found) == {}
    assert found.keys() >= {"settings", "token", "permissions", "mailbox", "refused_mailbox", "clock", "throttling"}


async def test_with_a_certificate_all_is_well(graph: GraphSimulator) -> None:
    found = await examined(
        settings(graph, credential="certificate", certificate_file=graph.client_certificate_file, client_secret=None)
    )
    assert verdicts(found) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_secret": "wrong"}, "secret is wrong. (AADSTS7000215)"),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, "AADSTS700016"),
        ({"tenant_id": "00000000-0000-0000-0000-000000000000"}, "AADSTS90002"),
    ],
)
async def test_credentials_that_are_refused(graph: GraphSimulator, changes: dict[str, Any], said: str) -> None:
    found = await examined(settings(graph, **changes))
    assert verdicts(found) == {"token": "failure", "mailbox": "unknown"}
    assert said in found["token"].text
    assert graph.calls == []


async def test_a_certificate_that_is_not_registered(graph: GraphSimulator, tmp_path: Path) -> None:
    async with GraphSimulator(seed=1) as other:
        file = tmp_path / "client.pem"
        file.write_bytes(other.client_certificate_file.read_bytes())
    wanted = settings(graph, credential="certificate", certificate_file=file, client_secret=None)
    assert "AADSTS700027" in (await examined(wanted))["token"].text


async def test_a_certificate_that_is_none(graph: GraphSimulator, tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.write_text("-----BEGIN NOTHING-----\n")
    wanted = settings(graph, credential="certificate", certificate_file=file, client_secret=None)
    assert "certificate_file" in (await examined(wanted))["token"].advice


async def test_an_authority_that_is_not_there(graph: GraphSimulator) -> None:
    found = await examined(settings(graph, authority=f"https://127.0.0.1:{free_port()}"))
    assert verdicts(found) == {"token": "failure", "mailbox": "unknown"}
    assert "graph.authority" in found["token"].advice


async def test_an_authority_whose_certificate_nobody_trusts(graph: GraphSimulator) -> None:
    assert verdicts(await examined(settings(graph, ca_file=None)))["token"] == "failure"


async def test_graph_is_not_there(graph: GraphSimulator) -> None:
    found = await examined(settings(graph, base_url=f"https://127.0.0.1:{free_port()}"))
    assert verdicts(found) == NO_ANSWER
    assert "Connection refused" in found["mailbox"].text


async def test_permissions_that_are_too_wide(graph: GraphSimulator) -> None:
    graph.roles = ("Mail.Read", "Mail.Send")
    found = await examined(settings(graph))
    assert verdicts(found) == {"permissions": "warning"}
    assert "Mail.Send" in found["permissions"].text


@pytest.mark.parametrize(
    ("mailboxes", "said"), [([MAILBOX, "other@example.test"], "no such mailbox"), ([MAILBOX, BOSS], "refuses it")]
)
async def test_a_mailbox_that_cannot_be_read(graph: GraphSimulator, mailboxes: list[str], said: str) -> None:
    found = await examined(settings(graph, mailboxes=mailboxes, refused_mailbox=None))
    assert verdicts(found) == {"mailbox": "failure", "refused_mailbox": "warning"}
    assert said in found["mailbox"].text


async def test_a_folder_that_is_not_there(graph: GraphSimulator) -> None:
    assert verdicts(await examined(settings(graph, folders=["inbox", "nonsense"]))) == {"mailbox": "failure"}


async def test_the_application_can_read_every_mailbox(graph: GraphSimulator) -> None:
    graph.add_mailbox("chair@example.test")
    found = await examined(settings(graph, refused_mailbox="chair@example.test"))
    assert verdicts(found) == {"refused_mailbox": "failure"}
    assert "can read every mailbox" in found["refused_mailbox"].text


async def test_the_clock_of_this_machine_is_wrong(graph: GraphSimulator) -> None:
    assert verdicts(await examined(settings(graph), clock=timedelta(minutes=-7))) == {"clock": "failure"}
    graph.faults.clock_skew_seconds = 60
    assert verdicts(await examined(settings(graph))) == {"clock": "warning"}


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(throttle=ALWAYS), {"mailbox": "warning", "refused_mailbox": "unknown", "throttling": "warning"}),
        (Faults(unavailable=ALWAYS), {"mailbox": "failure", "refused_mailbox": "unknown"}),
        (Faults(gateway_page=ALWAYS), {"mailbox": "failure", "refused_mailbox": "unknown"}),
        (Faults(refuse_token=ALWAYS), {"mailbox": "failure", "refused_mailbox": "unknown"}),
        (Faults(hang_up=ALWAYS), NO_ANSWER),
    ],
)
async def test_graph_has_trouble(graph: GraphSimulator, faults: Faults, expected: dict[str, str]) -> None:
    graph.faults = faults
    assert verdicts(await examined(settings(graph))) == expected


async def test_no_question_is_waited_for_without_end(graph: GraphSimulator) -> None:
    graph.faults = Faults(latency_seconds=30)
    found = await examined(settings(graph), check_seconds=0.3)
    assert "no answer within 0.3 s" in found["token" if "mailbox" not in found else "mailbox"].text


async def test_a_graph_that_does_not_answer_is_not_asked_for_every_mailbox(graph: GraphSimulator) -> None:
    mailboxes = [f"team{number}@example.test" for number in range(50)]
    graph.faults = Faults(hang_up=ALWAYS)
    found = await examined(settings(graph, mailboxes=mailboxes))
    assert found["mailbox"].verdict is Verdict.FAILURE
    assert len(graph.calls) < 20


@asynccontextmanager
async def our_url(answer: Answer, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """What stands at the notification URL, over TLS; and the authority of its certificate."""
    files = await asyncio.to_thread(make_server_certificate, folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server_file)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", files.ca_file
    finally:
        await runner.cleanup()


async def echo(request: web.Request) -> web.StreamResponse:
    assert (request.method, request.path in NOTIFICATION_PATHS) == ("POST", True)
    return web.Response(text=request.query["validationToken"])


async def twice_decoded(request: web.Request) -> web.StreamResponse:
    return web.Response(text=request.query["validationToken"].replace("+", " "))


async def page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/")


async def sign_in(request: web.Request) -> web.StreamResponse:
    raise web.HTTPUnauthorized


async def only_notifications(request: web.Request) -> web.StreamResponse:
    return await (echo(request) if request.path == NOTIFICATION_PATHS[0] else sign_in(request))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (echo, None),
        (twice_decoded, "failure"),
        (page, "failure"),
        (elsewhere, "failure"),
        (sign_in, "failure"),
        (only_notifications, "failure"),
    ],
)
async def test_our_url(graph: GraphSimulator, tmp_path: Path, answer: Answer, verdict: str | None) -> None:
    async with our_url(answer, tmp_path) as (url, ca_file):
        found = await examined(settings(graph, notification_url=url), ca_file=ca_file)
    # No gateway has run that would have made subscriptions.
    expected = {"subscriptions": "warning"} | ({} if verdict is None else {"notification_url": verdict})
    assert verdicts(found) == expected


async def test_our_url_with_a_certificate_that_graph_would_not_trust(graph: GraphSimulator, tmp_path: Path) -> None:
    async with our_url(echo, tmp_path) as (url, _):
        found = await examined(settings(graph, notification_url=url))
    assert found["notification_url"].verdict is Verdict.FAILURE
    assert "certificate" in found["notification_url"].text


async def test_our_url_where_nothing_listens(graph: GraphSimulator) -> None:
    found = await examined(settings(graph, notification_url=f"https://127.0.0.1:{free_port()}"))
    assert "Connection refused" in found["notification_url"].text
