"""What `satchel.client` offers is what it says it offers, and the blocking face lacks nothing."""

import inspect

import satchel.client
from satchel.client import AsyncClient, Client


def test_every_name_is_there_and_every_import_is_named() -> None:
    public = {name for name, value in vars(satchel.client).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public == set(satchel.client.__all__)


def test_the_blocking_client_has_every_call_with_the_same_signature() -> None:
    calls = {
        name: method
        for name, method in inspect.getmembers(AsyncClient, inspect.isfunction)
        if not name.startswith("_") and name != "aclose"
    }
    assert set(calls) == {
        "mailboxes",
        "messages",
        "list_attachments",
        "open_attachment",
        "download",
        "download_archive",
    }
    for name, method in calls.items():
        assert inspect.signature(getattr(Client, name)) == inspect.signature(method)
    assert list(inspect.signature(Client).parameters.values()) == list(
        inspect.signature(AsyncClient).parameters.values()
    )
