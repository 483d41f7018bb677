"""How patiently a webhook is tried again."""

from enum import StrEnum


class Schedule(StrEnum):
    """Three attempts, or eight over about a day."""

    STANDARD = "standard"
    LONG = "long"
