"""What a rule may add to the event that a webhook is told (contract section 8)."""

from collections.abc import Mapping

from satchel.gateway.text_bounds import clean

MAX_FIELDS = 50
MAX_NAME_CHARACTERS = 100
MAX_VALUE_CHARACTERS = 2_000


def check_custom_fields(fields: Mapping[str, str]) -> None:
    """Raises ValueError for too many, too long ones, a name that is none, or what no event can hold."""
    if len(fields) > MAX_FIELDS:
        raise ValueError(f"A rule adds {MAX_FIELDS} custom fields at most.")
    for name, value in fields.items():
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
            raise ValueError(f"A custom field needs a name of at most {MAX_NAME_CHARACTERS} printable characters.")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise ValueError(f"The custom field {name!r} is longer than {MAX_VALUE_CHARACTERS:,} characters.")
        if clean(value) != value:
            raise ValueError(f"The custom field {name!r} is no Unicode text.")
