"""The `[collector]` table of satchel.toml: every setting of the collector, its unit, its bounds and its default."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from satchel.collector.rules import Action, Rule
from satchel.process.logs import LogSettings
from satchel.settings import SettingsBase, SettingsTable


class RuleSettings(SettingsTable):
    """One row of the table of rules."""

    action: Literal["store", "skip"] = Field(description="What to do with an attachment that the row matches.")
    content_type: str = Field(default="*", description="Glob over the content type, such as image/*.")
    name: str = Field(default="*", description="Glob over the file name, such as *.pdf; case does not matter.")
    sender: str = Field(default="*", description="Glob over the sender's address.")
    mailbox: str = Field(default="*", description="Glob over the mailbox's address.")
    min_bytes: int = Field(default=0, ge=0, description="Least listed size.")
    max_bytes: int | None = Field(default=None, ge=0, description="Greatest listed size.")
    inline: bool | None = Field(default=None, description="Whether the attachment is marked inline.")

    def rule(self) -> Rule:
        return Rule(
            action=Action(self.action),
            content_type=self.content_type,
            name=self.name,
            sender=self.sender,
            mailbox=self.mailbox,
            min_bytes=self.min_bytes,
            max_bytes=self.max_bytes,
            inline=self.inline,
        )


class LocalSinkSettings(SettingsTable):
    """Files on local disk."""

    root: Path = Field(
        default=Path("files"),
        description="Folder to store into; made if missing. One collector at a time may use it.",
    )


class RetrySettings(SettingsTable):
    """How transient failures are tried again."""

    max_attempts: int = Field(
        default=300,
        ge=1,
        le=10_000,
        description="Attempts until an attachment or a message counts as failed: with these waits about a day.",
    )
    base_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Longest wait before the second attempt; it doubles with each further one.",
    )
    cap_seconds: float = Field(
        default=600.0, gt=0, le=86_400, description="Longest wait of our own; a server's Retry-After may be longer."
    )


class CollectorSettings(SettingsBase):
    """All settings of the collector."""

    table: ClassVar[str] = "collector"

    listen_host: str = Field(default="127.0.0.1", description="Address to listen on for webhooks.")
    listen_port: int = Field(
        default=8026, ge=0, le=65_535, description="Port to listen on; 0 lets the system choose one."
    )
    webhook_path: str = Field(default="/webhook", pattern=r"^/[\w./-]*$", description="Path that webhooks are sent to.")
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=1, description="The webhook's secret. Unset: whoever reaches the port is believed."
    )
    webhook_secret_next: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="A second secret that is accepted beside it, while the sender's is changed.",
    )
    mode: Literal["queued", "inline"] = Field(
        default="queued",
        description="queued: a webhook is answered once its event is on disk. inline: once the files are stored.",
    )
    inline_timeout_seconds: float = Field(
        default=90.0,
        gt=0,
        le=99,
        description="In inline mode, the longest wait before the sender is asked to come again (503).",
    )
    gateway_url: str = Field(default="http://127.0.0.1:8025", description="Base URL of the API.")
    api_key: SecretStr | None = Field(
        default=None, min_length=1, description="API key with messages:read and messages:content."
    )
    allow_http: bool = Field(
        default=False, description="Send the API key over plain http:// beyond this machine. For development."
    )
    data_dir: Path = Field(
        default=Path("data/collector"), description="Folder of the ledger and the work queue; made if missing."
    )
    local: LocalSinkSettings = Field(default_factory=LocalSinkSettings, description="The local disk.")
    rules: list[RuleSettings] = Field(
        default=[],
        description=(
            "Table of rules, [[collector.rules]]: the first that matches decides; else pictures inside the text are "
            "skipped and all other files stored."
        ),
    )
    trust_has_attachments: bool = Field(
        default=True,
        description="Skip messages whose event says that there are none; false lists them too, for inline documents.",
    )
    concurrency: int = Field(default=16, ge=1, le=256, description="Downloads under way at the same time.")
    retry: RetrySettings = Field(default_factory=RetrySettings, description="Retries.")
    max_event_bytes: int = Field(
        default=1_048_576, ge=1024, le=67_108_864, description="Largest webhook body that is read."
    )
    max_pending_events: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Messages not listed yet, above which webhooks are answered 429.",
    )
    sweep_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="How often unfinished work without a workflow and left-over temporary files are looked for.",
    )
    shutdown_grace_seconds: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Time that running downloads have to end; the rest is resumed at start.",
    )
    log: LogSettings = Field(default_factory=LogSettings, description="The log.")

    @model_validator(mode="after")
    def _next_to_a_secret(self) -> Self:
        if self.webhook_secret_next is not None and self.webhook_secret is None:
            raise ValueError("webhook_secret_next is set beside webhook_secret, or not at all")
        return self

    @field_validator("webhook_path")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value in {"/healthz", "/readyz"}:
            raise ValueError("this path is taken by the health checks")
        return value
