"""Which endpoints a webhook may be added with."""

import pytest
import sqlalchemy as sa

from satchel.gateway.addresses import parse_networks
from satchel.gateway.store.mailboxes import add_mailbox
from satchel.gateway.store.webhooks import NewWebhook, add_webhook, list_webhooks
from satchel.gateway.webhooks.egress import EgressPolicy, RefusedEndpoint
from tests.unit.gateway.fakes import MAILBOX


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://[::1]/", "https://192.168.1.1:8443/hook"])
def test_an_address_that_every_delivery_would_be_refused_for_is_refused_at_once(engine: sa.Engine, url: str) -> None:
    add_mailbox(engine, MAILBOX)
    with pytest.raises(RefusedEndpoint, match="allowed_networks"):
        add_webhook(engine, NewWebhook("w", url, [MAILBOX]))
    assert list_webhooks(engine) == []
    add_webhook(
        engine,
        NewWebhook("w", url, [MAILBOX]),
        policy=EgressPolicy(allowed_networks=parse_networks(["0.0.0.0/0", "::/0"])),
    )
    assert [row.url for row in list_webhooks(engine)] == [url]


def test_a_public_address_is_as_good_as_a_name(engine: sa.Engine) -> None:
    add_mailbox(engine, MAILBOX)
    row = add_webhook(engine, NewWebhook("w", "https://8.8.8.8/", [MAILBOX]))
    assert row.enabled
