"""The mail source of each account, as its settings say. With app.py the only part of the gateway that names any."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from satchel.gateway.api.boundary import Observers
from satchel.gateway.graph.host import StoredHost
from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.settings import AccountSettings, FolderSettings
from satchel.gateway.store.database import Store
from satchel.gateway.telemetry.measured import measured
from satchel.mail.folder.source import FolderSource
from satchel.mail.graph.counted import CallCounts, CountedTransport
from satchel.mail.graph.credentials import CredentialOptions, azure_tokens
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import Place, is_graph_id
from satchel.mail.graph.options import ArrivalOptions, CallOptions, ContentOptions, GraphOptions
from satchel.mail.graph.probe import GraphProbe
from satchel.mail.graph.source import GraphSource
from satchel.mail.graph.streams import ContentStreams
from satchel.mail.graph.transport import AiohttpTransport
from satchel.mail.host import SourceHost
from satchel.mail.source import MailSource, MessageRef
from satchel.settings import SettingsError


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """What the sources of Microsoft 365 count together: their requests, and the bodies that they took up again."""

    calls: CallCounts = field(default_factory=CallCounts)
    streams: list[ContentStreams] = field(default_factory=list)

    def healed_streams(self) -> int:
        return sum(streams.healed_streams for streams in self.streams)

    def failed_heals(self) -> int:
        return sum(streams.failed_heals for streams in self.streams)


@dataclass(frozen=True, slots=True)
class Sources:
    """The open sources by account id; `of_graph` are the accounts whose source is Microsoft 365."""

    by_account: Mapping[str, MailSource]
    of_graph: frozenset[str]
    counts: GraphCounts


@asynccontextmanager
async def open_sources(
    accounts: Mapping[str, AccountSettings], store: Store, observers: Observers
) -> AsyncIterator[Sources]:
    """A mail source for each account, for the length of the block. No mail server is asked for anything yet.

    Raises SettingsError for what no waiting mends.
    """
    counts = GraphCounts()
    async with AsyncExitStack() as opened:
        sources: dict[str, MailSource] = {}
        for account_id, account in accounts.items():
            source = account_source(account_id, account, store, counts)
            opened.push_async_callback(source.aclose)
            sources[account_id] = measured(source, observers.metrics, observers.tracing)
        of_graph = frozenset(account_id for account_id, account in accounts.items() if account.source == "graph")
        yield Sources(sources, of_graph, counts)


def account_source(account_id: str, account: AccountSettings, store: Store, counts: GraphCounts) -> MailSource:
    """An account's mail source, which the caller closes. Raises SettingsError as `graph_source` does."""
    if account.source == "graph":
        return graph_source(account.graph, StoredHost(store, account_id), counts)
    return folder_source(account.folder)


def folder_source(folder: FolderSettings) -> FolderSource:
    """The mail of a local folder."""
    return FolderSource(folder.path, settle_seconds=folder.settle_seconds, rescan_seconds=folder.rescan_seconds)


def graph_source(graph: GraphSettings, host: SourceHost, counts: GraphCounts) -> GraphSource:
    """Mailboxes of Microsoft 365, of which nothing is asked yet. Raises SettingsError for files that are no good."""
    _refuse_unusable_files(graph)
    options, tokens, streams = graph_options(graph), azure_tokens(credential_options(graph)), ContentStreams()
    counts.streams.append(streams)

    def transport(calls: CallOptions) -> CountedTransport:
        return CountedTransport(AiohttpTransport(calls), counts.calls)

    return GraphSource(
        options, tokens, host, http=GraphHttp(options.calls, tokens, transport=transport), streams=streams
    )


def name_message(mailbox: str, graph_id: str) -> MessageRef | None:
    """The message that a notification names by an immutable id; None for what is no id of Graph's."""
    return Place(graph_id).ref(mailbox) if is_graph_id(graph_id) else None


def graph_probe(graph: GraphSettings) -> GraphProbe:
    """What a doctor asks Graph with. Raises SettingsError as `graph_source` does."""
    _refuse_unusable_files(graph)
    return GraphProbe(graph_options(graph).calls, azure_tokens(credential_options(graph)))


def graph_options(graph: GraphSettings) -> GraphOptions:
    """How the Graph source is to behave, from the settings."""
    return GraphOptions(
        mailboxes=tuple(dict.fromkeys(graph.mailboxes)),
        calls=CallOptions(
            base_url=graph.base_url,
            ca_file=graph.ca_file,
            max_concurrent=graph.max_concurrent,
            max_concurrent_per_mailbox=graph.max_concurrent_per_mailbox,
            patience_seconds=graph.patience_seconds,
            connect_timeout_seconds=graph.connect_timeout_seconds,
            read_timeout_seconds=graph.read_timeout_seconds,
        ),
        content=ContentOptions(heal_attempts=graph.heal_attempts, buffer_bytes=graph.buffer_bytes),
        arrivals=ArrivalOptions(
            folders=tuple(dict.fromkeys(graph.folders)),
            poll_seconds=graph.poll_seconds,
            catch_up_seconds=graph.catch_up_seconds,
            notification_url=graph.notification_url,
            subscription_minutes=graph.subscription_minutes,
            placeholders=tuple(graph.placeholders),
            placeholder_wait_seconds=graph.placeholder_wait_seconds,
        ),
    )


def credential_options(graph: GraphSettings) -> CredentialOptions:
    """Who the application is, from the settings."""
    secret, password = graph.client_secret, graph.certificate_password
    return CredentialOptions(
        kind=graph.credential,
        authority=graph.authority,
        base_url=graph.base_url,
        tenant_id=graph.tenant_id,
        client_id=graph.client_id,
        client_secret=secret.get_secret_value() if secret is not None else None,
        certificate_file=graph.certificate_file,
        certificate_password=password.get_secret_value() if password is not None else None,
        federated_token_file=graph.federated_token_file,
        ca_file=graph.ca_file,
    )


def _refuse_unusable_files(graph: GraphSettings) -> None:
    """What no waiting mends: files of the settings that are not there or not what they should be."""
    if graph.credential == "certificate" and graph.certificate_file is not None:
        _read("graph.certificate_file", graph.certificate_file)
    if graph.credential == "workload_identity" and graph.federated_token_file is not None:
        _read("graph.federated_token_file", graph.federated_token_file)
    if graph.ca_file is not None:
        _read("graph.ca_file", graph.ca_file)
        try:
            ssl.create_default_context(cafile=graph.ca_file)
        except ssl.SSLError:
            raise SettingsError(f"[gateway] graph.ca_file: {graph.ca_file} has no certificates in PEM.") from None


def _read(name: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(f"[gateway] {name}: {path} cannot be read: {error.strerror}.") from None
