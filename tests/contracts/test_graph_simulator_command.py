"""`satchel simulate graph` as a process: what it prints is enough, and its controls do what they say."""

import asyncio
import signal
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from satchel.cli.main import app
from satchel.cli.output import CommandError
from satchel.testing.mail import sample_messages

SAMPLES = sample_messages(1000)
MAILBOX = "shared@example.com"


@dataclass
class Running:
    """The process, and the `[gateway.graph]` table that it printed."""

    process: "subprocess.Popen[str]"
    settings: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "mail" / MAILBOX).mkdir(parents=True)
    (folder / "mail" / MAILBOX / "first.eml").write_bytes(SAMPLES[0].to_bytes())
    (folder / "mail" / "boss@example.com").mkdir()
    command = [sys.executable, "-m", "satchel", "simulate", "graph", "--port", "0"]
    command += ["--mail", str(folder / "mail"), "--tls-folder", str(folder / "tls"), "--refused", "boss@example.com"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if line.startswith("Ctrl-C"):
            break
        lines.append(line)
    gateway = tomllib.loads("".join(lines[lines.index("[gateway]\n") :]))["gateway"]
    assert gateway["source"] == "graph"
    yield Running(process, gateway["graph"], folder)
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.wait(10) == 0


@pytest.fixture
async def session(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    trust = ssl.create_default_context(cafile=running.settings["ca_file"])
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(running.settings["base_url"], connector=connector) as session:
        yield session
        await session.delete("/simulator/faults")


async def authorized(running: Running, session: aiohttp.ClientSession) -> dict[str, str]:
    settings = running.settings
    form = {name: settings[name] for name in ("client_id", "client_secret")}
    form |= {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"}
    async with session.post(f"/{settings['tenant_id']}/oauth2/v2.0/token", data=form) as answer:
        return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}


async def subjects(session: aiohttp.ClientSession, headers: dict[str, str], mailbox: str) -> list[str]:
    async with session.get(f"/v1.0/users/{mailbox}/messages?$select=subject", headers=headers) as answer:
        assert answer.status == 200
        return [each["subject"] for each in (await answer.json())["value"]]


async def test_mail_in_the_folder_is_served_and_new_mail_arrives(
    running: Running, session: aiohttp.ClientSession
) -> None:
    assert running.settings["mailboxes"] == ["invoices@example.com", MAILBOX]
    assert running.settings["refused_mailbox"] == "boss@example.com"
    headers = await authorized(running, session)
    assert await subjects(session, headers, MAILBOX) == [SAMPLES[0].subject]
    (running.folder / "mail" / "dropped.eml").write_bytes(SAMPLES[1].to_bytes())
    async with asyncio.timeout(20):
        while await subjects(session, headers, "invoices@example.com") != [SAMPLES[1].subject]:
            await asyncio.sleep(0.1)


async def test_a_folder_that_goes_away_and_comes_back(running: Running, session: aiohttp.ClientSession) -> None:
    mail, away = running.folder / "mail", running.folder / "away"
    mail.rename(away)
    # Longer than from one look to the next.
    await asyncio.sleep(1.0)
    away.rename(mail)
    (mail / MAILBOX / "back.eml").write_bytes(SAMPLES[2].to_bytes())
    headers = await authorized(running, session)
    async with asyncio.timeout(10):
        while len(found := await subjects(session, headers, MAILBOX)) < 2:
            await asyncio.sleep(0.1)
    assert SAMPLES[2].subject in found
    messages = {"mailbox": MAILBOX}
    async with session.get("/simulator/messages", params=messages) as answer:
        newest = (await answer.json())[0]["id"]
    await session.delete(f"/simulator/messages/{newest}", params=messages)


async def test_controls_deliver_move_and_delete(running: Running, session: aiohttp.ClientSession) -> None:
    headers = await authorized(running, session)
    mailbox = {"mailbox": "controlled@example.com"}
    raw = SAMPLES[2].to_bytes()
    async with session.post("/simulator/messages", params=mailbox, data=raw) as answer:
        assert answer.status == 201
        made = await answer.json()
    assert await subjects(session, headers, mailbox["mailbox"]) == [SAMPLES[2].subject]
    url = f"/simulator/messages/{made['id']}"
    async with session.post(f"{url}/move", params=mailbox, json={"folder": "junkemail"}) as answer:
        moved = await answer.json()
    assert moved["id"] == made["id"]
    assert moved["mutableId"] != made["mutableId"]
    async with session.get("/simulator/messages", params=mailbox) as answer:
        assert await answer.json() == [{**moved, "folder": "junkemail"}]
    assert (await session.delete(url, params=mailbox)).status == 204
    assert await subjects(session, headers, mailbox["mailbox"]) == []
    assert (await session.delete(url, params=mailbox)).status == 404


async def test_controls_set_faults_and_limits(running: Running, session: aiohttp.ClientSession) -> None:
    headers = await authorized(running, session)
    wanted = {"unavailable": {"times": 1, "routes": ["messages"]}, "retry_after_seconds": 3}
    async with session.patch("/simulator/faults", json=wanted) as answer:
        assert (await answer.json())["unavailable"]["times"] == 1
    async with session.get(f"/v1.0/users/{MAILBOX}/messages", headers=headers) as answer:
        assert answer.status == 503
    for wrong in ({"invented": 1}, {"throttle": 7}, {"retry_after_seconds": 9, "framing": "none"}):
        async with session.patch("/simulator/faults", json=wrong) as answer:
            assert answer.status == 400
    async with session.get("/simulator/faults") as answer:
        assert (await answer.json())["retry_after_seconds"] == 3, "all of a change or nothing of it"
    async with session.patch("/simulator/limits", json={"concurrent": 5}) as answer:
        assert (await answer.json())["concurrent"] == 5
    async with session.patch("/simulator/limits", json={"concurrency": 5}) as answer:
        assert answer.status == 400


async def test_controls_say_what_the_app_may(running: Running, session: aiohttp.ClientSession) -> None:
    headers = await authorized(running, session)
    for asked, status in (({"exchangeRoles": []}, 403), ({"roles": ["Mail.Read"]}, 200), ({"rights": []}, 200)):
        await session.patch("/simulator/app", json=asked)
        async with session.get(f"/v1.0/users/{MAILBOX}/messages", headers=headers) as answer:
            assert answer.status == status
    async with session.patch("/simulator/app", json={"roles": [], "exchangeRoles": ["Mail.Read"]}) as answer:
        assert await answer.json() == {"roles": [], "exchangeRoles": ["Mail.Read"]}
    async with session.get("/v1.0/users/boss@example.com/messages", headers=headers) as answer:
        assert answer.status == 403, "though its folder lies beside those that are not refused"


async def test_controls_revoke_tokens_and_show_calls(running: Running, session: aiohttp.ClientSession) -> None:
    headers = await authorized(running, session)
    await subjects(session, headers, MAILBOX)
    assert (await session.post("/simulator/tokens/revoke")).status == 204
    async with session.get(f"/v1.0/users/{MAILBOX}/messages", headers=headers) as answer:
        assert answer.status == 401
    async with session.get("/simulator/calls", params={"status": "401"}) as answer:
        assert [call["kind"] for call in (await answer.json())["calls"]] == ["messages"]
    async with session.get("/simulator") as answer:
        state = await answer.json()
    assert state["mailboxes"][MAILBOX] == 1
    assert state["tokensGiven"] >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "invented=1"], "there is no fault invented"),
        (["--fault", "throttle"], "NAME=VALUE was expected"),
        (["--fault", "throttle=often"], "throttle"),
        (["--fault", "reset=0.1,routes=contents"], "there are no calls contents"),
        (["--mail", "/nowhere/at/all"], "is no folder"),
    ],
)
def test_what_cannot_be_started_says_why(arguments: list[str], said: str) -> None:
    ended = CliRunner().invoke(app, ["simulate", "graph", "--port", "0", *arguments])
    assert isinstance(ended.exception, CommandError)
    assert said in str(ended.exception)
