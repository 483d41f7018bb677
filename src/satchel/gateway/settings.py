"""The `[gateway]` table of satchel.toml: every setting of the gateway, its unit, its bounds and its default."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from satchel.gateway.addresses import parse_networks
from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.sealing import MASTER_KEY, MasterKey, SealingError
from satchel.process.logs import LogSettings
from satchel.settings import SettingsBase, SettingsError, SettingsTable, read_secret

DEFAULT_ACCOUNT = "default"
_ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class FolderSettings(SettingsTable):
    """Where local mail lies and how it is watched."""

    path: Path = Field(
        default=Path("mail"),
        description="Folder with the mailboxes: <address>/ as a Maildir or a folder of .eml files, or <address>.mbox.",
    )
    settle_seconds: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="How long a file outside a Maildir must stay unchanged before it counts as a whole message.",
    )
    rescan_seconds: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="How often the whole folder is read again, for changes that the file system did not report.",
    )


Source = Annotated[Literal["folder", "graph"], Field(description="Where messages come from.")]
Folder = Annotated[FolderSettings, Field(description="The local mail folder.")]
Graph = Annotated[GraphSettings, Field(description="Microsoft 365, through Microsoft Graph.")]
RateLimit = Annotated[
    int,
    Field(ge=0, le=10_000_000, description="Calls per minute of an account, over all its keys; 0 is no limit."),
]


class AccountSettings(SettingsTable):
    """What an account has of its own: where its mail is and how much it may ask for."""

    source: Source = "folder"
    folder: Folder = Field(default_factory=FolderSettings)
    graph: Graph = Field(default_factory=GraphSettings)
    rate_limit_per_minute: RateLimit = 100


def _account_name(name: str) -> str:
    if name == DEFAULT_ACCOUNT:
        raise ValueError("this account has its settings in [gateway] itself")
    if _ACCOUNT_NAME.fullmatch(name) is None:
        raise ValueError("an account's name is at most 63 small letters, digits and hyphens, no hyphen first")
    return name


AccountName = Annotated[str, AfterValidator(_account_name)]


class WebhookSettings(SettingsTable):
    """How webhooks are delivered."""

    allow_http: bool = Field(
        default=False, description="Accept http:// endpoints. For development: the secret travels open."
    )
    allowed_networks: list[str] = Field(
        default=[],
        description="Addresses or networks inside yours that receivers may have, such as 10.1.2.0/24; all others that "
        "are not of the open internet are refused.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with authorities of your own whose certificates receivers may have, beside the system's.",
    )
    timeout_seconds: float = Field(
        default=100.0, gt=0, le=600, description="Time that a receiver has to answer one attempt."
    )
    retry_seconds: list[float] = Field(
        default=[5.0, 30.0],
        max_length=2,
        description="Pauses before the second and the third attempt; up to a fifth is added at random.",
    )
    long_retry_seconds: list[float] = Field(
        default=[5.0, 30.0, 300.0, 1800.0, 7200.0, 21600.0, 57600.0],
        max_length=7,
        description="The pauses of webhooks with the long schedule, likewise: 8 attempts over about a day.",
    )
    pause_after_seconds: float = Field(
        default=86_400.0,
        ge=0,
        le=31_536_000,
        description="A webhook that no attempt has reached for so long is paused, and keeps what is for it; 0 never.",
    )
    max_parallel: int = Field(default=64, ge=1, le=1000, description="Deliveries under way at the same time.")
    max_parallel_per_webhook: int = Field(
        default=8, ge=1, le=1000, description="Of these, deliveries to one webhook, over all its mailboxes."
    )
    sweep_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="How often new mailboxes are looked for, and how long a mail source that failed is left alone.",
    )
    max_text_characters: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="How much of a message's text a webhook is given, where it is given any.",
    )

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        parse_networks(value)
        return value

    @field_validator("retry_seconds", "long_retry_seconds")
    @classmethod
    def _within_a_day(cls, value: list[float]) -> list[float]:
        if not all(0 <= pause <= 86_400 for pause in value):
            raise ValueError("pauses are seconds, from 0 to 86400")
        return value


class LimitSettings(SettingsTable):
    """What clients may ask for at most, beside the accounts' rates."""

    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, rediss:// or unix:// URL of a Redis or Valkey in which all gateways count together. "
        "Unset: each process counts in its own memory.",
    )
    failed_keys_per_minute: int = Field(
        default=60,
        ge=0,
        le=10_000_000,
        description="Calls without a valid key that an address may make in a minute before it is refused unheard; "
        "0 is no limit.",
    )
    downloads_per_key: int = Field(
        default=100, ge=1, le=1_000_000, description="Downloads and archives of one key that may run at once."
    )
    downloads: int = Field(
        default=1000, ge=1, le=1_000_000, description="Downloads and archives of all keys that may run at once."
    )
    archives_per_key: int = Field(default=4, ge=1, le=1000, description="Archives of one key that may be made at once.")
    archives: int = Field(
        default=16, ge=1, le=1000, description="Archives of all keys that may be made at once, and as many threads."
    )


class TlsSettings(SettingsTable):
    """TLS in the server itself, for those without a proxy that does it. Both files, or neither."""

    certificate_file: Path | None = Field(
        default=None, description="PEM file with the certificate and its chain. Unset: plain HTTP."
    )
    key_file: Path | None = Field(default=None, description="PEM file with the certificate's private key.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file are set together, or neither is")
        return self


class MetricsSettings(SettingsTable):
    """Prometheus metrics, on a listener of their own so that they are never public by accident."""

    listen_host: str = Field(default="127.0.0.1", description="Address that /metrics listens on.")
    listen_port: int | None = Field(
        default=None, ge=0, le=65_535, description="Port of /metrics; 0 lets the system choose one. Unset: no metrics."
    )


class TracingSettings(SettingsTable):
    """OpenTelemetry traces; needs the extra `satchel[otel]`."""

    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="URL that takes OTLP traces over HTTP, such as http://127.0.0.1:4318/v1/traces. Unset: no traces.",
    )
    sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Part of the traces begun here that is kept; a caller's decision stands."
    )


class GatewaySettings(SettingsBase):
    """All settings of the gateway."""

    table: ClassVar[str] = "gateway"

    listen_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    listen_port: int = Field(
        default=8025, ge=0, le=65_535, description="Port to listen on; 0 lets the system choose one."
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+$",
        description="Scheme and host as clients see them, for links in answers. Unset: taken from each request.",
    )
    data_dir: Path = Field(
        default=Path("data/gateway"), description="Folder of the gateway's databases; made if missing."
    )
    source: Source = "folder"
    folder: Folder = Field(default_factory=FolderSettings)
    graph: Graph = Field(default_factory=GraphSettings)
    trusted_proxies: list[str] = Field(
        default=[],
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    not_found_hold_seconds: float = Field(
        default=0.05,
        ge=0,
        le=5,
        description="How long a 404 is held back at least, so that its time does not tell what is unknown from what is "
        "not allowed. 0 holds none back.",
    )
    docs_page: bool = Field(default=True, description="Serve /docs and /openapi.json, which need no key.")
    rate_limit_per_minute: RateLimit = 100
    store_threads: int = Field(default=4, ge=1, le=64, description="Threads for the short calls of the database.")
    shutdown_grace_seconds: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="Time that running downloads have to end once the gateway is asked to stop.",
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Time that a request may take to arrive as a whole, body included."
    )
    client_stall_seconds: float = Field(
        default=120.0,
        gt=0,
        le=86_400,
        description="How long a client may stop reading an answer before the connection is cut off.",
    )
    limits: LimitSettings = Field(default_factory=LimitSettings, description="What clients may ask for at most.")
    tls: TlsSettings = Field(default_factory=TlsSettings, description="TLS in the server itself.")
    metrics: MetricsSettings = Field(default_factory=MetricsSettings, description="Prometheus metrics.")
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="OpenTelemetry traces.")
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings, description="Delivery of webhooks.")
    log: LogSettings = Field(default_factory=LogSettings, description="The log.")
    audit_days: int = Field(
        default=365, ge=1, le=36_500, description="Days that the audit trail is kept; what is older is removed."
    )
    delivery_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="Days that the history of deliveries is kept; what has ended longer ago is removed.",
    )
    accounts: dict[AccountName, AccountSettings] = Field(
        default={}, description="Accounts beside the default one, whose settings stand in [gateway] itself."
    )

    @classmethod
    def load(cls, config_file: Path | None = None) -> Self:
        """As `SettingsBase.load`; refused are also two accounts that read one folder or one mailbox, and one that is
        to read Microsoft 365 and does not say what there. Raises SettingsError."""
        settings = super().load(config_file)
        accounts = settings.by_account()
        _refuse_shared_folders({name: each.folder for name, each in accounts.items() if each.source == "folder"})
        _refuse_shared_mailboxes({name: each.graph for name, each in accounts.items() if each.source == "graph"})
        return settings

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        parse_networks(value)
        return value

    def by_account(self) -> dict[str, AccountSettings]:
        """The settings of every account by its name, the default one first."""
        default = AccountSettings(
            source=self.source, folder=self.folder, graph=self.graph, rate_limit_per_minute=self.rate_limit_per_minute
        )
        return {DEFAULT_ACCOUNT: default, **self.accounts}


def load_master_key() -> MasterKey | None:
    """The key that webhook secrets are sealed with, from `SATCHEL_MASTER_KEY` or the file that its `_FILE` names.

    None where there is none. Raises SettingsError.
    """
    text = read_secret(MASTER_KEY)
    try:
        return None if text is None else MasterKey.parse(text)
    except SealingError as error:
        raise SettingsError(str(error)) from None


def _refuse_shared_folders(folders: Mapping[str, FolderSettings]) -> None:
    """Mail in a folder of two accounts would be both's to see: nobody means that."""
    taken: dict[Path, str] = {}
    for name, folder in folders.items():
        path = folder.path.resolve()
        if path in taken:
            raise SettingsError(
                f"{_table(name)} folder.path: account {taken[path]!r} reads {folder.path} already. "
                "Give each account a folder of its own."
            )
        taken[path] = name


def _refuse_shared_mailboxes(graphs: Mapping[str, GraphSettings]) -> None:
    """As for folders. The address alone tells a mailbox: a tenant can be written as an id and as a domain."""
    taken: dict[tuple[str, str], str] = {}
    for name, graph in graphs.items():
        if not graph.mailboxes:
            raise SettingsError(
                f'{_table(name)} graph.mailboxes: is empty, and source "graph" serves the mailboxes that stand there. '
                'Name them: mailboxes = ["invoices@example.com"].'
            )
        for address in dict.fromkeys(graph.mailboxes):
            mailbox = (graph.base_url, address)
            if mailbox in taken:
                raise SettingsError(
                    f"{_table(name)} graph.mailboxes: account {taken[mailbox]!r} has {address} already. "
                    "Leave it to one account; keys can be made for any of an account's mailboxes."
                )
            taken[mailbox] = name


def _table(account: str) -> str:
    return "[gateway]" if account == DEFAULT_ACCOUNT else f"[gateway.accounts.{account}]"
