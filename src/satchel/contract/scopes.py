"""What an API key may do (contract section 2)."""

from enum import StrEnum


class Scope(StrEnum):
    """The three scopes; a call needs all the scopes that its route declares."""

    REPORTING = "reporting"
    MESSAGES_READ = "messages:read"
    MESSAGES_CONTENT = "messages:content"
