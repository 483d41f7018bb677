"""The calls of the API: where they are, which scopes they need and what they cost (contract sections 1 and 5 to 7)."""

from dataclasses import dataclass
from urllib.parse import quote

from satchel.contract.scopes import Scope

BASE_PATH = "/api/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `cost` counts against the account's rate; `path` is a template with names in braces.

    A call that is open to everybody needs no key, no scope, and costs nothing.
    """

    path: str
    methods: tuple[str, ...]
    scopes: frozenset[Scope]
    cost: int = 1
    needs_key: bool = True

    def url(self, **ids: str) -> str:
        """The path with ids filled in. Unreserved characters and `=` stand as they are, others are escaped."""
        return self.path.format(**{name: quote(value, safe="=") for name, value in ids.items()})


def open_route(path: str) -> Route:
    """A page or a check that everybody may read."""
    return Route(path, ("GET", "HEAD"), scopes=frozenset(), cost=0, needs_key=False)


LIST_ATTACHMENTS = Route(
    path=f"{BASE_PATH}/messages/{{message_id}}/attachments",
    methods=("GET", "HEAD"),
    scopes=frozenset({Scope.MESSAGES_READ}),
)
DOWNLOAD_ATTACHMENT = Route(
    path=f"{BASE_PATH}/messages/{{message_id}}/attachments/{{attachment_id}}/download",
    methods=("GET", "HEAD"),
    scopes=frozenset({Scope.MESSAGES_CONTENT}),
)

DOWNLOAD_ARCHIVE = Route(
    path=f"{BASE_PATH}/messages/{{message_id}}/attachments/archive",
    methods=("GET", "HEAD"),
    scopes=frozenset({Scope.MESSAGES_CONTENT}),
)

ROUTES = (LIST_ATTACHMENTS, DOWNLOAD_ATTACHMENT, DOWNLOAD_ARCHIVE)
