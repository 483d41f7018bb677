"""What the gateway's own settings refuse."""

from pathlib import Path

import pytest

from satchel.gateway.settings import AccountSettings, GatewaySettings
from satchel.settings import SettingsError


@pytest.mark.parametrize("pauses", ["[-1]", "[5, inf]", "[nan]", "[1e9]", "[1, 2, 3]"])
def test_pauses_that_a_delivery_could_never_keep(tmp_path: Path, pauses: str) -> None:
    file = tmp_path / "satchel.toml"
    file.write_text(f"[gateway.webhooks]\nretry_seconds = {pauses}\n", "utf-8")
    with pytest.raises(SettingsError, match=r"satchel\.toml: \[gateway\] webhooks\.retry_seconds: found"):
        GatewaySettings.load(file)


@pytest.mark.parametrize("name", ["a", "acme", "0-acme", "a" * 63])
def test_accounts_by_their_names(tmp_path: Path, name: str) -> None:
    file = tmp_path / "satchel.toml"
    file.write_text(
        f'[gateway]\nrate_limit_per_minute = 7\n[gateway.accounts.{name}]\nfolder.path = "other"\n', "utf-8"
    )
    accounts = GatewaySettings.load(file).by_account()
    assert list(accounts) == ["default", name]
    assert [account.rate_limit_per_minute for account in accounts.values()] == [7, 100]
    assert [account.folder.path for account in accounts.values()] == [tmp_path / "mail", tmp_path / "other"]


def test_who_names_no_account_has_the_one_of_the_table_itself() -> None:
    settings = GatewaySettings()
    assert settings.by_account() == {"default": AccountSettings()}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("default", "in [gateway] itself"),
        ("Acme", "small letters"),
        ("-acme", "no hyphen first"),
        ("a_b", "small letters"),
        ('"a/b"', "small letters"),
        ("a" * 64, "at most 63"),
    ],
)
def test_names_that_no_account_can_have(tmp_path: Path, name: str, advice: str) -> None:
    file = tmp_path / "satchel.toml"
    file.write_text(f'[gateway.accounts.{name}]\nfolder.path = "other"\n', "utf-8")
    with pytest.raises(SettingsError) as caught:
        GatewaySettings.load(file)
    assert f"[gateway] accounts.{name}".replace('"', "") in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("path", ["mail", "./x/../mail", "link"])
def test_two_accounts_never_read_one_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mail")
    file = tmp_path / "satchel.toml"
    file.write_text(f'[gateway.accounts.acme]\nfolder.path = "{path}"\n', "utf-8")
    with pytest.raises(SettingsError, match=r"\[gateway\.accounts\.acme\] folder\.path: account 'default' reads"):
        GatewaySettings.load(file)


@pytest.mark.parametrize("proxies", ['["proxy.example"]', '["10.0.0.1/8"]'])
def test_proxies_are_addresses_or_networks(tmp_path: Path, proxies: str) -> None:
    file = tmp_path / "satchel.toml"
    file.write_text(f"[gateway]\ntrusted_proxies = {proxies}\n", "utf-8")
    with pytest.raises(SettingsError, match=r"\[gateway\] trusted_proxies: found .*network"):
        GatewaySettings.load(file)


GRAPH = 'source = "graph"\ngraph.tenant_id = "contoso"\ngraph.client_id = "id"\n'


def graph_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "satchel.toml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[gateway]\nsource = "graph"\n', r"\[gateway\] graph\.mailboxes: is empty"),
        (
            '[gateway.accounts.acme]\nsource = "graph"\ngraph.credential = "managed_identity"\n',
            r"\[gateway\.accounts\.acme\] graph\.mailboxes: is empty",
        ),
        (
            f'[gateway]\n{GRAPH}graph.mailboxes = ["a@example.com"]\n',
            r'graph: found a value that is not shown; credential "secret" needs client_secret',
        ),
        (
            f'[gateway]\n{GRAPH}graph.mailboxes = ["a@example.com"]\ngraph.credential = "certificate"\n',
            "needs certificate_file",
        ),
        (
            f'[gateway]\n{GRAPH}graph.client_secret = "s"\ngraph.mailboxes = ["A@example.com"]\n'
            'graph.refused_mailbox = "a@Example.com"\n',
            "refused_mailbox is among mailboxes",
        ),
        (f'[gateway]\n{GRAPH}graph.placeholders = ["("]\n', "is no regular expression"),
        (f'[gateway]\n{GRAPH}graph.folders = [""]\n', "graph.folders"),
        (f'[gateway]\n{GRAPH}graph.authority = "http://login.example"\n', "graph.authority"),
    ],
)
def test_graph_settings_that_cannot_work(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        GatewaySettings.load(graph_file(tmp_path, text))


def test_two_accounts_never_have_one_mailbox_of_microsoft_365(tmp_path: Path) -> None:
    one = f'{GRAPH}graph.client_secret = "s"\ngraph.mailboxes = ["a@example.com", "b@example.com"]\n'
    other = one.replace("contoso", "another name of contoso").replace("a@", "c@").replace("b@", "B@")
    with pytest.raises(SettingsError, match=r"\.acme\] graph\.mailboxes: account 'default' has b@example\.com already"):
        GatewaySettings.load(graph_file(tmp_path, f"[gateway]\n{one}[gateway.accounts.acme]\n{other}"))


def test_folders_matter_where_they_are_read_alone(tmp_path: Path) -> None:
    one = f'{GRAPH}graph.client_secret = "s"\ngraph.mailboxes = ["a@example.com"]\n'
    settings = GatewaySettings.load(graph_file(tmp_path, f"[gateway]\n[gateway.accounts.acme]\n{one}"))
    assert [each.source for each in settings.by_account().values()] == ["folder", "graph"]
