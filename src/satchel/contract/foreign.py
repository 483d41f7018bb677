"""Fields of foreign JSON, which may be missing, null, or of another type than expected: what can be made of them."""

from datetime import UTC, datetime
from typing import Any

import msgspec


def text(value: Any) -> str:
    """The text; an empty one for what is none."""
    return value if isinstance(value, str) else ""


def moment(value: Any) -> datetime | None:
    """An instant of RFC 3339, which without a zone is in UTC; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        found = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
