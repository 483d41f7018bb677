"""The `[gateway]` table of satchel.toml: every setting of the gateway, its unit, its bounds and its default."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from satchel.process.logs import LogSettings
from satchel.settings import SettingsBase, SettingsTable


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


class WebhookSettings(SettingsTable):
    """How webhooks are delivered."""

    allow_http: bool = Field(
        default=False, description="Accept http:// endpoints. For development: the secret travels open."
    )
    allow_private_addresses: bool = Field(
        default=False,
        description="Deliver to loopback, private and link-local addresses. For receivers inside your network.",
    )
    timeout_seconds: float = Field(
        default=100.0, gt=0, le=600, description="Time that a receiver has to answer one attempt."
    )
    retry_seconds: list[float] = Field(
        default=[5.0, 30.0],
        max_length=2,
        description="Pauses before the second and the third attempt; up to a fifth is added at random.",
    )
    max_parallel: int = Field(default=16, ge=1, le=1000, description="Deliveries under way at the same time.")
    sweep_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="How often unfinished deliveries and undescribed messages are looked for.",
    )

    @field_validator("retry_seconds")
    @classmethod
    def _within_a_day(cls, value: list[float]) -> list[float]:
        if not all(0 <= pause <= 86_400 for pause in value):
            raise ValueError("pauses are seconds, from 0 to 86400")
        return value


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
    source: Literal["folder"] = Field(default="folder", description="Where messages come from.")
    folder: FolderSettings = Field(default_factory=FolderSettings, description="The local mail folder.")
    rate_limit_per_minute: int = Field(
        default=100,
        ge=0,
        le=10_000_000,
        description="Calls per minute of an account, over all its keys; 0 is no limit.",
    )
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
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings, description="Delivery of webhooks.")
    log: LogSettings = Field(default_factory=LogSettings, description="The log.")
