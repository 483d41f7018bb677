"""The collector's own settings."""

from pathlib import Path

import pytest

from satchel.collector.rules import Action, Rule
from satchel.collector.settings import CollectorSettings
from satchel.settings import SettingsError


def load(folder: Path, text: str) -> CollectorSettings:
    config = folder / "satchel.toml"
    config.write_text(text, "utf-8")
    return CollectorSettings.load(config)


def test_rules_are_a_table_of_rows_in_order(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[[collector.rules]]\naction = "skip"\nsender = "*@spam.test"\n'
        '[[collector.rules]]\naction = "store"\ncontent_type = "image/*"\ninline = true\nmin_bytes = 1000\n',
    )
    assert [row.rule() for row in settings.rules] == [
        Rule(Action.SKIP, sender="*@spam.test"),
        Rule(Action.STORE, content_type="image/*", inline=True, min_bytes=1000),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[collector.rules]]\naction = "drop"\n', "rules.0.action"),
        ('[[collector.rules]]\naction = "skip"\nsubject = "x"\n', "rules.0.subject"),
        ('[collector]\nwebhook_path = "/healthz"\n', "webhook_path"),
        ("[collector]\ninline_timeout_seconds = 120\n", "inline_timeout_seconds"),
        ('[collector]\nmode = "fast"\n', "mode"),
        ('[collector]\nwebhook_secret = ""\n', "webhook_secret"),
        ('[collector]\nwebhook_secret_next = "next"\n', "webhook_secret_next is set beside webhook_secret"),
    ],
)
def test_broken_settings_name_their_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, text)
