"""Text of foreign messages as the index keeps it, and as rules look at it: what every database and JSON takes."""

MAX_SUBJECT_CHARACTERS = 10_000


def clean(text: str) -> str:
    """Without lone surrogates and NULs."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
