"""The commented satchel.toml, written from the settings themselves so that it cannot lie about them."""

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from satchel.collector.settings import CollectorSettings
from satchel.gateway.settings import GatewaySettings
from satchel.settings import ANY_NAME, SettingsBase, environment_prefix, fields

_HEAD = """\
# The settings of Satchel. Every line that is commented out shows the default.
#
# The environment stands over this file: [gateway.folder] path is SATCHEL_GATEWAY__FOLDER__PATH. A variable that ends
# in _FILE names a file to read the value from, for secrets: SATCHEL_COLLECTOR__WEBHOOK_SECRET_FILE=/run/secrets/hook.
# Relative paths start at the folder of this file.
"""
_EXAMPLE_NAME = "acme"
# Where the default of a table without a name would not do for one that has a name.
_EXAMPLE_VALUES: dict[tuple[str, ...], str] = {("folder", "path"): "mail-acme"}
# Long, and shown above under the default account.
_NOT_IN_EXAMPLES = frozenset({"graph"})


def default_config() -> str:
    """The whole file, every setting commented out with its description and default."""
    return _HEAD + "".join(_table(settings) for settings in (GatewaySettings, CollectorSettings))


def _table(settings: type[SettingsBase]) -> str:
    lines: list[str] = []
    above: tuple[str, ...] | None = None
    settings_of_names: dict[tuple[str, ...], list[str]] = {}
    for path, field in _tables_last(settings):
        if ANY_NAME in path:
            at = path.index(ANY_NAME)
            if path[at + 1] not in _NOT_IN_EXAMPLES:
                settings_of_names.setdefault(path[:at], []).append(_example_line(path[at + 1 :], field))
            continue
        if path[:-1] != above:
            above = path[:-1]
            lines += ["", f"[{'.'.join((settings.table, *above))}]"]
        lines += _setting(path[-1], field)
    for path, example in settings_of_names.items():
        lines += ["", *_comment(settings.model_fields[path[-1]].description or ""), *_example_head(settings, path)]
        lines += example
    return "\n".join(lines) + "\n"


def _example_head(settings: type[SettingsBase], path: tuple[str, ...]) -> Iterator[str]:
    """A table whose name is up to the writer is shown by an example, commented out as a whole."""
    yield "# As many as you need, each under a name of your choice, such as:"
    yield f"# [{'.'.join((settings.table, *path, _EXAMPLE_NAME))}]"


def _example_line(path: tuple[str, ...], field: FieldInfo) -> str:
    value = _EXAMPLE_VALUES.get(path, field.get_default(call_default_factory=True, validated_data={}))
    return f"#   {'.'.join(path)} = {toml_value(value)}"


def _tables_last(settings: type[SettingsBase]) -> list[tuple[tuple[str, ...], FieldInfo]]:
    """TOML wants a table's own keys before the tables inside it."""
    return sorted(fields(settings), key=lambda item: (len(item[0]) > 1, item[0][:-1]))


def _setting(name: str, field: FieldInfo) -> Iterator[str]:
    yield from _comment(field.description or "")
    default = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required() or default is None:
        yield f"# {name} ="
    else:
        yield f"# {name} = {toml_value(default)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="# ")


def toml_value(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    # TOML's basic strings, numbers and booleans are JSON's.
    return json.dumps(value, ensure_ascii=False)


def variable(settings: type[SettingsBase], path: tuple[str, ...]) -> str:
    """The environment variable of a setting."""
    return environment_prefix(settings) + "__".join(path).upper()
