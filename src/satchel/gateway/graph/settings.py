"""The `[gateway.graph]` table: how Microsoft 365 is reached, and which of its mailboxes are served."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from satchel.gateway.store.mailboxes import normal_address
from satchel.settings import SettingsTable

_ROOT_URL = r"^https?://[^\s/?#]+$"


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from None
    return value


class GraphSettings(SettingsTable):
    """How Microsoft 365 is reached. Used where `source` is "graph"."""

    tenant_id: str | None = Field(default=None, description="Directory (tenant) id, or a domain of the tenant.")
    client_id: str | None = Field(
        default=None, description="Application (client) id; for a managed identity that of a user-assigned one, if any."
    )
    credential: Literal["secret", "certificate", "managed_identity", "workload_identity"] = Field(
        default="secret", description="How the gateway proves to be the application."
    )
    client_secret: SecretStr | None = Field(default=None, description='Client secret, for credential "secret".')
    certificate_file: Path | None = Field(
        default=None, description='PEM or PKCS #12 file with certificate and private key, for credential "certificate".'
    )
    certificate_password: SecretStr | None = Field(default=None, description="Password of that file, if it has one.")
    federated_token_file: Path | None = Field(
        default=None, description='File with the token of the platform, for credential "workload_identity".'
    )
    authority: str = Field(
        default="https://login.microsoftonline.com",
        pattern=r"^https://[^\s/?#]+$",
        description="Where tokens come from; other clouds and the simulator have their own.",
    )
    base_url: str = Field(
        default="https://graph.microsoft.com",
        pattern=_ROOT_URL,
        description="Where Graph is, without the version; other clouds and the simulator have their own.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities to trust instead of the system's, for both."
    )
    mailboxes: list[Annotated[str, AfterValidator(normal_address)]] = Field(
        default=[], description="Addresses of the mailboxes to serve. The application need not reach any other."
    )
    refused_mailbox: Annotated[str, AfterValidator(normal_address)] | None = Field(
        default=None,
        description="A mailbox that the application must not reach; `satchel gateway doctor` tries to read it.",
    )
    folders: list[Annotated[str, Field(min_length=1)]] = Field(
        default=["inbox"],
        min_length=1,
        description="Folders in which arrivals are watched: well-known names such as inbox, or ids.",
    )
    max_concurrent: int = Field(
        default=64, ge=1, le=1000, description="Requests to Graph under way at once, downloads included."
    )
    max_concurrent_per_mailbox: int = Field(
        default=4, ge=1, le=100, description="The same for each mailbox; Exchange allows 4."
    )
    patience_seconds: float = Field(
        default=20.0,
        ge=0,
        le=300,
        description="How long a call may wait for its turn and for Graph's Retry-After before it fails: 429 or 503.",
    )
    connect_timeout_seconds: float = Field(default=10.0, gt=0, le=300, description="Time to connect to Graph.")
    read_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How long Graph may send nothing while an answer is awaited."
    )
    heal_attempts: int = Field(
        default=3,
        ge=0,
        le=20,
        description="How often a download that breaks on Graph's side is taken up again; 0 turns this off.",
    )
    buffer_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=0,
        le=64 * 1024 * 1024,
        description="How much of a body of unknown length is held in memory to learn its length.",
    )
    notification_url: str | None = Field(
        default=None,
        pattern=_ROOT_URL,
        description="Scheme and host under which Graph reaches this gateway for change notifications. Unset: mailboxes "
        "are polled instead.",
    )
    poll_seconds: float = Field(
        default=30.0, gt=0, le=86_400, description="How often mailboxes are polled where there are no notifications."
    )
    catch_up_seconds: float = Field(
        default=900.0, gt=0, le=86_400, description="How often they are polled beside notifications, for lost ones."
    )
    subscription_minutes: int = Field(
        default=4230, ge=45, le=10_080, description="Lifetime asked for a subscription; it is renewed well before."
    )
    arrival_patience_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="How long a message that was notified is looked for before it counts as gone.",
    )
    placeholders: list[Annotated[str, AfterValidator(_pattern)]] = Field(
        default=["(?i)^(atp|safe attachments) scan in progress"],
        description="Regular expressions for names of attachments that stand for a file which is still being scanned.",
    )
    placeholder_wait_seconds: float = Field(
        default=1800.0,
        ge=0,
        le=86_400,
        description="How long such a message is held back; after that it is given out as it is.",
    )

    @model_validator(mode="after")
    def _credential_is_whole(self) -> Self:
        if not self.mailboxes and self.tenant_id is None:
            return self
        needs = {
            "secret": ("tenant_id", "client_id", "client_secret"),
            "certificate": ("tenant_id", "client_id", "certificate_file"),
            "workload_identity": ("tenant_id", "client_id", "federated_token_file"),
            "managed_identity": (),
        }[self.credential]
        missing = [name for name in needs if getattr(self, name) is None]
        if missing:
            raise ValueError(f'credential "{self.credential}" needs {", ".join(missing)}')
        return self

    @model_validator(mode="after")
    def _refused_mailbox_is_not_served(self) -> Self:
        if self.refused_mailbox in self.mailboxes:
            raise ValueError("refused_mailbox is among mailboxes: name one that the application must not reach")
        return self
