"""Looks through what processes logged for what must never be there: addresses, file names, keys and secrets."""

import re
import tomllib
from pathlib import Path
from typing import Any

ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE)
API_KEY = re.compile(rb"satchel_[A-Za-z0-9]{24,}")
# Of the sample messages, and whatever else looks like a file that mail carries.
FILE_NAME = re.compile("[\\w-]+\\.(pdf|png|jpe?g|bin|zip|eml|docx?|xlsx?|csv)\\b|請求".encode(), re.IGNORECASE)
SECRETS = ("a webhook secret for tests", "s" * 16)
_SECRET_SETTINGS = frozenset({"api_key", "webhook_secret", "webhook_secret_next", "redis_url"})
_LOG_NAMES = ("*.log", "log", "log-*")
# What a line holds is looked at as a whole, also where the file grew in the middle of it.
_OVERLAP_BYTES = 4096


class LogSearch:
    """Every log below a folder; what was looked at before is not looked at again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, int] = {}

    def leaks(self) -> list[str]:
        """What the logs say since the last time and must not: for each, the file and the words."""
        found: list[str] = []
        for path in (path for name in _LOG_NAMES for path in self._folder.rglob(name)):
            if not path.is_file() or path.stat().st_size == self._seen.get(path, 0):
                continue
            with path.open("rb") as file:
                file.seek(max(0, self._seen.get(path, 0) - _OVERLAP_BYTES))
                text = file.read()
            self._seen[path] = path.stat().st_size
            found += [f"{path.name}: {leak!r}" for leak in leaks_in(text, secrets_of(path.parent))]
        return found


def leaks_in(text: bytes, secrets: list[str]) -> list[bytes]:
    """Everything in a text that is an address, an API key, a file's name or one of the secrets."""
    patterns = [match[0] for pattern in (ADDRESS, API_KEY, FILE_NAME) for match in pattern.finditer(text)]
    return patterns + [secret.encode() for secret in (*SECRETS, *secrets) if secret.encode() in text]


def secrets_of(folder: Path) -> list[str]:
    """The secrets in the settings beside a log."""
    settings = folder / "satchel.toml"
    return list(_secrets(tomllib.loads(settings.read_text("utf-8")))) if settings.is_file() else []


def _secrets(table: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _secrets(value)
        elif name in _SECRET_SETTINGS and len(str(value)) >= 16:
            found.add(str(value))
    return found
