"""Settings: layers, and what broken ones answer."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from satchel.settings import SettingsBase, SettingsError, SettingsTable


class Folder(SettingsTable):
    path: Path = Field(Path("mail"), description="Where the mailboxes are.")
    password: SecretStr | None = Field(None, description="What opens it.")


class Branch(SettingsTable):
    size: int = Field(1, ge=1, description="How large it is.")
    folder: Folder = Folder()


class Example(SettingsBase):
    table: ClassVar[str] = "gateway"

    port: int = Field(8025, ge=1, le=65535, description="The port to listen on.")
    secret: SecretStr | None = Field(None, description="The secret.")
    names: list[str] = Field([], description="Some names.")
    cert_file: Path | None = Field(None, description="A certificate.")
    folder: Folder = Folder()
    branches: dict[str, Branch] = Field({}, description="Tables by names.")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "satchel.toml"


def load(config: Path, text: str) -> Example:
    config.write_text(text, "utf-8")
    return Example.load(config)


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Example.load().port == 8025


def test_the_file_in_the_working_folder_is_found(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[gateway]\nport = 1\n")
    monkeypatch.chdir(tmp_path)
    assert Example.load().port == 1


def test_relative_paths_start_at_the_file(config: Path, tmp_path: Path) -> None:
    settings = load(config, '[gateway]\ncert_file = "tls/cert.pem"\n[gateway.folder]\npath = "post"\n')
    assert settings.folder.path == tmp_path / "post"
    assert settings.cert_file == tmp_path / "tls/cert.pem"


def test_the_environment_stands_over_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATCHEL_GATEWAY__PORT", "9")
    monkeypatch.setenv("SATCHEL_GATEWAY__FOLDER__PATH", "/elsewhere")
    monkeypatch.setenv("SATCHEL_GATEWAY__NAMES", '["a", "b"]')
    settings = load(config, "[gateway]\nport = 5\n")
    assert (settings.port, settings.folder.path, settings.names) == (9, Path("/elsewhere"), ["a", "b"])


def test_tables_by_names(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATCHEL_GATEWAY__BRANCHES__B__FOLDER__PATH", "post-b")
    monkeypatch.setenv("SATCHEL_GATEWAY__BRANCHES__A-1__SIZE", "7")
    settings = load(config, "[gateway.branches.a-1]\nsize = 5\nfolder.path = 'post-a'\n")
    found = {name: (branch.size, branch.folder.path) for name, branch in settings.branches.items()}
    assert found == {"a-1": (7, tmp_path / "post-a"), "b": (1, tmp_path / "post-b")}


def test_the_other_program_has_its_own_table(config: Path) -> None:
    assert load(config, "[collector]\nanything = 1\n").port == 8025


def test_a_secret_may_come_from_a_file(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("SATCHEL_GATEWAY__SECRET_FILE", str(tmp_path / "secret"))
    settings = load(config, "")
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == "hush"
    assert "hush" not in repr(settings)


def test_a_secret_inside_a_table_may_come_from_a_file(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("SATCHEL_GATEWAY__FOLDER__PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("SATCHEL_GATEWAY__BRANCHES__A__FOLDER__PASSWORD_FILE", str(tmp_path / "secret"))
    settings = load(config, "")
    for folder in (settings.folder, settings.branches["a"].folder):
        assert folder.password is not None
        assert folder.password.get_secret_value() == "hush"


def test_a_setting_that_is_itself_a_file_is_not_read(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATCHEL_GATEWAY__CERT_FILE", "/no/such/file.pem")
    assert load(config, "").cert_file == Path("/no/such/file.pem")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[gateway]\nport = 70000", "[gateway] port: found 70000; input should be less than or equal to 65535"),
        ("[gateway]\nport = 'x'", "[gateway] port: found 'x'; input should be a valid integer"),
        ("[gateway]\nprot = 1", "[gateway] prot: no such setting. Did you mean 'port'?"),
        (
            "[gateway]\nzzzz = 1",
            "Known are: port, secret, names, cert_file, folder.path, folder.password, branches.<name>.size",
        ),
        ("[gateway.folder]\npaht = 'x'", "[gateway] folder.paht: no such setting. Did you mean 'folder.path'?"),
        ("[gateway]\nfolder = 12345", "[gateway] folder: found a value that is not shown"),
        ("[gateway.branches]\na.folder = 12345", "[gateway] branches.a.folder: found a value that is not shown"),
        ("[gateway.branches.a]\nsize = 0", "[gateway] branches.a.size: found 0; input should be greater"),
        ("[gateway.branches.a]\nsiez = 1", "branches.a.siez: no such setting. Did you mean 'branches.a.size'?"),
        ("[gateway.branches]\na = 1", "[gateway] branches.a: found a value that is not shown"),
        ("[gatewya]\nport = 1", "unknown table or setting 'gatewya'. Did you mean 'gateway'?"),
        ("port = 1", "unknown table or setting 'port'"),
        ("gateway = 1", "'gateway' must be a table"),
        ("[gateway", "not valid TOML"),
        ("[gateway]\nport = abc", "not valid TOML"),
        ("[gateway]\nport = 1\nport = 2", "not valid TOML"),
        ("[gateway]\nsecret = 12345", "[gateway] secret: found a value that is not shown"),
    ],
)
def test_a_broken_file_says_what_to_do(config: Path, text: str, advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(config, text)
    assert advice in str(caught.value)
    assert str(config) in str(caught.value)
    assert "12345" not in str(caught.value)


def test_a_file_that_is_not_text_says_so(config: Path) -> None:
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid TOML"):
        Example.load(config)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="satchel init"):
        Example.load(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("SATCHEL_GATEWAY__PORT", "x", "environment variable SATCHEL_GATEWAY__PORT port: found 'x'"),
        ("SATCHEL_GATEWAY__PROT", "1", "environment variable SATCHEL_GATEWAY__PROT: no such setting. Did you mean"),
        ("SATCHEL_GATEWAY__BRANCHES__A__SIEZ", "1", "no such setting. Did you mean 'branches.a.size'?"),
        ("SATCHEL_GATEWAY__BRANCHES__A__SIZE", "x", "SATCHEL_GATEWAY__BRANCHES__A__SIZE branches.a.size: found 'x'"),
        ("SATCHEL_GATEWAY__SECRET_FILE", "/no/such", "SATCHEL_GATEWAY__SECRET_FILE: the file it names cannot be read"),
        ("SATCHEL_GATEWAY__NAMES", "not json", "Lists are written as JSON"),
    ],
)
def test_a_broken_environment_says_what_to_do(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, advice: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load(config, "")
    assert advice in str(caught.value)


def test_settings_cannot_be_changed_later(config: Path) -> None:
    settings = load(config, "")
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
