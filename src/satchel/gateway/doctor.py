"""Examines the accounts of the settings one after the other, each by the way of its own mail source."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import sqlalchemy as sa

from satchel.gateway.findings import Finding, failure, good, warning
from satchel.gateway.graph.doctor import GraphDoctor
from satchel.gateway.graph.verdicts import judge_folder
from satchel.gateway.sealing import MasterKey
from satchel.gateway.settings import AccountSettings, FolderSettings
from satchel.gateway.sources import folder_source, graph_probe
from satchel.gateway.store.secrets import advice_on, look_at_secrets
from satchel.gateway.store.subscriptions import list_subscriptions
from satchel.mail.source import SourceError

_FOLDER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of an account, by its name."""

    account: str
    source: str
    findings: Sequence[Finding]


async def examine(
    engine: sa.Engine,
    accounts: Mapping[str, AccountSettings],
    ids: Mapping[str, str],
    master_key: MasterKey | None,
) -> Sequence[Report]:
    """A report of each account. `ids` are those of the accounts in the database, by their names."""
    return [
        Report(
            name,
            account.source,
            [*await _findings(engine, account, ids[name]), *_look_at_secrets(engine, ids[name], master_key)],
        )
        for name, account in accounts.items()
    ]


async def _findings(engine: sa.Engine, account: AccountSettings, account_id: str) -> Sequence[Finding]:
    if account.source == "folder":
        found = [await _look_at_folder(account.folder)]
        if account.graph.mailboxes:
            found.append(
                warning(
                    "settings", 'Mailboxes of Microsoft 365 are named, but source is "folder".', 'Set source = "graph".'
                )
            )
        return found
    async with aclosing(graph_probe(account.graph)) as prober:
        return await GraphDoctor(account.graph, prober, list_subscriptions(engine, account_id)).examine()


def _look_at_secrets(engine: sa.Engine, account_id: str, master_key: MasterKey | None) -> Sequence[Finding]:
    found = look_at_secrets(engine, master_key, account_id)
    if found.unreadable:
        count = f"{len(found.unreadable)} of {found.count}"
        return [
            failure("secrets", f"Secrets of webhooks cannot be opened: {count}.", advice_on(found.unreadable)),
        ]
    return [good("secrets", "The master key opens the secrets of all webhooks.")] if found.count else []


async def _look_at_folder(settings: FolderSettings) -> Finding:
    async with aclosing(folder_source(settings)) as source:
        try:
            async with asyncio.timeout(_FOLDER_SECONDS):
                return judge_folder(await source.mailboxes())
        except TimeoutError:
            return judge_folder(None, f"The mail folder gives no answer within {_FOLDER_SECONDS:g} s.")
        except SourceError as error:
            return judge_folder(None, str(error))
