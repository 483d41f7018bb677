"""How settings are found: one table of satchel.toml, the environment over it, secrets also from files.

The two programs' own `settings.py` hold the fields. A wrong or unknown setting stops the start with a message that
names where it stands, what was found and what is accepted.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as PydanticSettingsError

CONFIG_FILE = "satchel.toml"
# Stands in a path of keys for the name that a table is given by whoever writes it.
ANY_NAME = "<name>"
TABLES = ("gateway", "collector")

Model = TypeVar("Model", bound=BaseModel)


class SettingsError(Exception):
    """The settings cannot be used; the message says which, where, and what to write instead."""


class SettingsTable(BaseModel):
    """A table inside a program's settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SettingsBase(BaseSettings):
    """A program's settings: subclasses name their `table` in satchel.toml and its environment prefix follows.

    Built directly, it takes what it is given and reads nothing; `load` reads the file and the environment.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)
    table: ClassVar[str]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def load(cls, config_file: Path | None = None) -> Self:
        """Read and check the settings: satchel.toml, secret files over it, the environment over both.

        `config_file` None means satchel.toml in the working folder, if there is one. Relative paths are relative to
        the file's folder, wherever the program was started. Raises SettingsError.
        """
        path = _find(config_file)
        _refuse_unknown_variables(cls)
        environment = EnvSettingsSource(cls, env_prefix=environment_prefix(cls), env_nested_delimiter="__")
        files = {variable.lower() for variable, _ in _file_variables(cls)}
        environment.env_vars = {name: value for name, value in environment.env_vars.items() if name not in files}
        try:
            found = _merged(_merged(_toml_table(cls, path), _secret_files(cls)), environment())
            settings = cls(**found)
        except PydanticSettingsError as error:
            raise SettingsError(
                f'environment variable of [{cls.table}]: {error}. Lists are written as JSON: ["a", "b"].'
            ) from None
        except ValidationError as error:
            raise SettingsError(_explain(cls, path, error)) from None
        return _anchored(settings, (path or Path(CONFIG_FILE)).resolve().parent)


def read_secret(variable: str) -> str | None:
    """A secret that stands outside of the tables: in this variable, or in the file that `<variable>_FILE` names.

    None where it is nowhere. Raises SettingsError for one that is in both, or a file that cannot be read.
    """
    value, path = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if value is not None and path is not None:
        raise SettingsError(f"{variable} and {variable}_FILE are both set: unset one of them.")
    if path is None:
        return value
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE: the file it names cannot be read: {error}.") from None


def environment_prefix(cls: type[SettingsBase]) -> str:
    """What the names of the table's environment variables begin with."""
    return f"SATCHEL_{cls.table.upper()}__"


def _find(config_file: Path | None) -> Path | None:
    if config_file is not None:
        if not config_file.is_file():
            raise SettingsError(f"{config_file}: no such file. `satchel init` writes one.")
        return config_file
    default = Path(CONFIG_FILE)
    return default if default.is_file() else None


def _toml_table(cls: type[SettingsBase], path: Path | None) -> dict[str, Any]:
    """The program's table of satchel.toml; an unknown table beside it is an error."""
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f'{path}: not valid TOML: {error}. Strings need quotes: key = "value".') from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from None
    for name in document:
        if name not in TABLES:
            raise SettingsError(f"{path}: unknown table or setting {name!r}.{_did_you_mean(name, TABLES)}")
    found: object = document.get(cls.table, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {cls.table!r} must be a table: [{cls.table}].")
    return found


def _secret_files(cls: type[SettingsBase]) -> dict[str, Any]:
    """Values from files that `<VARIABLE>_FILE` names, as container platforms hand out secrets."""
    found: dict[str, Any] = {}
    for variable, keys in _file_variables(cls):
        try:
            value = Path(os.environ[variable]).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}: the file it names cannot be read: {error}.") from None
        table = found
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1].removesuffix("_file")] = value
    return found


def _file_variables(cls: type[SettingsBase]) -> list[tuple[str, list[str]]]:
    """Variables that name a file to read a setting from. A setting that is a file by its own name is none of them."""
    return [(variable, keys) for variable, keys in _variables(cls) if _field(cls, keys) is None]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two layers of settings; tables are merged, anything else is replaced by the layer above."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _variables(cls: type[SettingsBase]) -> list[tuple[str, list[str]]]:
    prefix = environment_prefix(cls)
    return [(name, name[len(prefix) :].lower().split("__")) for name in os.environ if name.upper().startswith(prefix)]


def _refuse_unknown_variables(cls: type[SettingsBase]) -> None:
    for variable, keys in _variables(cls):
        without_file = [*keys[:-1], keys[-1].removesuffix("_file")]
        if _field(cls, keys) is None and _field(cls, without_file) is None:
            raise SettingsError(
                f"environment variable {variable}: no such setting.{_did_you_mean('.'.join(keys), _known(cls, keys))}"
            )


def fields(model: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], FieldInfo]]:
    """Every setting of a table with its path, tables inside tables opened, in the order of declaration.

    A table of named tables stands there once, its name as `<name>`.
    """
    found: list[tuple[tuple[str, ...], FieldInfo]] = []
    for name, field in model.model_fields.items():
        inner, named = field.annotation, _named_tables(field)
        if named is not None:
            found += fields(named, (*above, name, ANY_NAME))
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            found += fields(inner, (*above, name))
        else:
            found.append(((*above, name), field))
    return found


def _named_tables(field: FieldInfo) -> type[BaseModel] | None:
    """What the tables inside are, where a setting is a dictionary of tables by names."""
    if get_origin(field.annotation) is not dict:
        return None
    inner = get_args(field.annotation)[1]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _named(path: tuple[str, ...], keys: list[str]) -> list[str]:
    """A path of settings with the names that the keys give to its tables."""
    return [keys[at] if part == ANY_NAME and at < len(keys) else part for at, part in enumerate(path)]


def _known(cls: type[BaseModel], keys: list[str]) -> list[str]:
    """Every setting by its dotted name, as whoever wrote these keys would write it."""
    return [".".join(_named(path, keys if keys[:1] == [path[0]] else [])) for path, _ in fields(cls)]


def _field(cls: type[BaseModel], keys: list[str]) -> FieldInfo | None:
    """The setting at a path of keys, or the table or list that holds it."""
    for count in range(len(keys), 0, -1):
        for path, field in fields(cls):
            if _named(path, keys) == keys[:count] and (count == len(keys) or field.annotation is not str):
                return field
    return None


def _anchored(model: Model, folder: Path) -> Model:
    changes: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changes[name] = folder / value.expanduser()
        elif isinstance(value, BaseModel):
            changes[name] = _anchored(value, folder)
        elif isinstance(value, dict):
            changes[name] = {
                key: _anchored(inner, folder) if isinstance(inner, BaseModel) else inner for key, inner in value.items()
            }
    return model.model_copy(update=changes)


def _explain(cls: type[SettingsBase], path: Path | None, error: ValidationError) -> str:
    return "\n".join(_explain_one(cls, path, dict(detail)) for detail in error.errors())


def _explain_one(cls: type[SettingsBase], path: Path | None, detail: dict[str, Any]) -> str:
    # A name that is refused comes with a mark behind it.
    keys = [str(key) for key in detail["loc"] if key != "[key]"]
    variable = environment_prefix(cls) + "__".join(keys).upper()
    in_environment = variable in os.environ or f"{variable}_FILE" in os.environ
    where = f"environment variable {variable}" if in_environment else f"{path or CONFIG_FILE}: [{cls.table}]"
    name = ".".join(keys)
    field = _field(cls, keys)
    if detail["type"] == "extra_forbidden":
        return f"{where} {name}: no such setting.{_did_you_mean(name, _known(cls, keys))}"
    if detail["type"] == "missing":
        return f"{where} {name}: is needed and not set. {_description(field)}".rstrip()
    # Also what was written in the place of a whole table: it may be meant for the secret inside.
    inside = [inner for path, inner in fields(cls) if _named(path, keys)[: len(keys)] == keys]
    secret = any("Secret" in str(inner.annotation) for inner in (field, *inside) if inner is not None)
    found = "a value that is not shown" if secret else repr(detail["input"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where} {name}: found {found}; {message[:1].lower()}{message[1:]}. {_description(field)}".rstrip()


def _description(field: FieldInfo | None) -> str:
    return field.description or "" if field is not None else ""


def _did_you_mean(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known are: {', '.join(known)}."
