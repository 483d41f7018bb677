"""`satchel gateway webhooks test`: one event of a message that there is not, and what the receiver made of it."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import typer

from satchel.cli.configured import ConfigFile
from satchel.cli.gateway.administration import Json, OfAccount, WebhookIdentifier, open_office
from satchel.cli.output import print_json, printable

if TYPE_CHECKING:
    from satchel.gateway.settings import WebhookSettings
    from satchel.gateway.store.trials import Tried
    from satchel.gateway.webhooks.decision import Outcome
    from satchel.gateway.webhooks.trial import Verdict


def try_webhook(
    identifier: WebhookIdentifier, account: OfAccount = None, json: Json = False, config: ConfigFile = None
) -> None:
    """Send a webhook one event of a message that there is not, from here, and say what its receiver made of it.

    It goes as deliveries go, with the same secret and limits, once, also where the webhook is off or paused, and is no
    part of its history. Exit status 0: accepted; 1: not.
    """
    from satchel.gateway.store.trials import take_for_trial
    from satchel.gateway.webhooks.trial import judge

    webhook_id = f"test_{uuid4()}"
    with open_office(config) as office:
        tried = take_for_trial(
            office.engine,
            identifier,
            master_key=office.master_key(),
            account_id=office.account_id(account),
            actor=office.actor,
        )
        verdict = judge(asyncio.run(_post(office.settings.webhooks, tried, webhook_id)))
    if json:
        print_json({"webhook_id": webhook_id, "verdict": verdict})
    else:
        _print(verdict)
    raise typer.Exit(0 if verdict.accepted else 1)


async def _post(settings: "WebhookSettings", tried: "Tried", webhook_id: str) -> "Outcome":
    import msgspec

    from satchel.gateway.webhooks.sender import WebhookSender
    from satchel.gateway.webhooks.trial import trial_event

    webhook = tried.webhook
    event = trial_event(webhook.mailboxes[0], datetime.now(UTC), with_text=webhook.include_text)
    sender = WebhookSender(settings)
    try:
        return await sender.post(webhook.url, tried.secrets, msgspec.json.encode(event), webhook_id=webhook_id)
    finally:
        await sender.aclose()


def _print(verdict: "Verdict") -> None:
    typer.echo(printable(verdict.text))
    if verdict.actions:
        typer.echo("It asks for these actions, which Satchel writes down and does not carry out:")
        for action in verdict.actions:
            typer.echo(printable(f"  {action}"))
    elif not verdict.accepted and verdict.answer:
        typer.echo(f"Its answer begins: {printable(verdict.answer[:200])}")
