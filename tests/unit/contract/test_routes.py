"""Where the calls are, and that ids stay what they are (contract sections 1, 6 and 7)."""

import pytest

from satchel.contract.routes import DOWNLOAD_ATTACHMENT, LIST_ATTACHMENTS
from satchel.contract.scopes import Scope


def test_ids_of_the_contract_stand_as_they_are() -> None:
    assert LIST_ATTACHMENTS.url(message_id="AAMk-_.~09==") == "/api/v1/messages/AAMk-_.~09==/attachments"
    assert DOWNLOAD_ATTACHMENT.url(message_id="m", attachment_id="a=") == "/api/v1/messages/m/attachments/a=/download"


@pytest.mark.parametrize(
    ("foreign", "escaped"), [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("é", "%C3%A9"), ("{x}", "%7Bx%7D")]
)
def test_other_ids_lead_nowhere_else(foreign: str, escaped: str) -> None:
    assert LIST_ATTACHMENTS.url(message_id=foreign) == f"/api/v1/messages/{escaped}/attachments"


def test_scopes_are_those_of_the_contract() -> None:
    assert LIST_ATTACHMENTS.scopes == {Scope.MESSAGES_READ}
    assert DOWNLOAD_ATTACHMENT.scopes == {Scope.MESSAGES_CONTENT}
    assert set(Scope) == {"reporting", "messages:read", "messages:content"}
