"""Every setting of Graph reaches the source, and files that are no good are told at the start."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.sources import GraphCounts, credential_options, graph_options, graph_source
from satchel.mail.graph.options import ArrivalOptions, CallOptions, ContentOptions
from satchel.settings import SettingsError
from satchel.testing.host import MemoryHost

MAILBOX = "invoices@example.com"
CHANGED: dict[str, Any] = {
    "tenant_id": "t",
    "client_id": "c",
    "credential": "secret",
    "client_secret": "s",
    "certificate_file": Path("c.pem"),
    "certificate_password": "p",
    "federated_token_file": Path("f"),
    "authority": "https://login.example",
    "base_url": "https://graph.example",
    "ca_file": Path("ca.pem"),
    "mailboxes": [MAILBOX, "Other@example.com", MAILBOX],
    "refused_mailbox": "boss@example.com",
    "folders": ["inbox", "archive", "inbox"],
    "max_concurrent": 7,
    "max_concurrent_per_mailbox": 3,
    "patience_seconds": 1.5,
    "connect_timeout_seconds": 2.5,
    "read_timeout_seconds": 3.5,
    "heal_attempts": 1,
    "buffer_bytes": 5,
    "notification_url": "https://mail.example",
    "poll_seconds": 4.5,
    "catch_up_seconds": 5.5,
    "subscription_minutes": 60,
    "arrival_patience_seconds": 6.5,
    "placeholders": ["x"],
    "placeholder_wait_seconds": 7.5,
}


def unchanged(options: object, default: object) -> list[str]:
    """Names of the options that are as they would be anyway."""
    return [field.name for field in fields(options) if getattr(options, field.name) == getattr(default, field.name)]  # type: ignore[arg-type]


def test_the_test_knows_every_setting() -> None:
    assert CHANGED.keys() == GraphSettings.model_fields.keys()


def test_every_setting_of_the_source_reaches_it() -> None:
    options = graph_options(GraphSettings(**CHANGED))
    assert options.mailboxes == (MAILBOX, "other@example.com")
    assert options.arrivals.folders == ("inbox", "archive")
    assert unchanged(options.calls, CallOptions()) == []
    # Not for administrators to choose: without it a body that was cut could pass for whole.
    assert unchanged(options.content, ContentOptions()) == ["confirm_ends"]
    assert unchanged(options.arrivals, ArrivalOptions()) == []


def test_the_options_have_the_defaults_of_the_settings() -> None:
    options = graph_options(GraphSettings(mailboxes=[]))
    assert options.calls == CallOptions()
    assert options.content == ContentOptions()
    assert options.arrivals == ArrivalOptions(folders=("inbox",))


def test_every_setting_of_the_credential_reaches_it_and_shows_no_secret() -> None:
    options = credential_options(GraphSettings(**CHANGED))
    assert all(getattr(options, field.name) is not None for field in fields(options))
    assert (options.client_secret, options.certificate_password) == ("s", "p")
    assert "'s'" not in repr(options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"credential": "certificate", "certificate_file": Path("/nowhere.pem")}, "graph.certificate_file: /nowhere"),
        ({"credential": "workload_identity", "federated_token_file": Path("/nowhere")}, "federated_token_file"),
        ({"ca_file": Path("/nowhere.pem")}, r"graph\.ca_file: /nowhere\.pem cannot be read: No such file"),
        ({"ca_file": Path(__file__)}, "has no certificates"),
    ],
)
def test_files_that_are_no_good(changes: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "mailboxes": [MAILBOX]}
    with pytest.raises(SettingsError, match=said):
        graph_source(GraphSettings(**values | changes), MemoryHost(), GraphCounts())
