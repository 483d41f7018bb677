"""The calls of the API: where they are, which scopes they need and what they cost.

Contract sections 1, 5 to 7, 10 and 11.
"""

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

LIST_MAILBOXES = Route(
    path=f"{BASE_PATH}/admin/mailboxes",
    methods=("GET", "HEAD"),
    scopes=frozenset({Scope.REPORTING}),
)
REPORT_RECEIVED_MESSAGES = Route(
    path=f"{BASE_PATH}/reports/receivedMessageDetail",
    methods=("POST",),
    scopes=frozenset({Scope.REPORTING, Scope.MESSAGES_READ}),
)
# Its other scopes were asked for when the run began.
REPORT_RESULTS = Route(
    path=f"{BASE_PATH}/reports/results/{{run_id}}",
    methods=("GET", "HEAD"),
    scopes=frozenset({Scope.REPORTING}),
)

ROUTES = (
    LIST_ATTACHMENTS,
    DOWNLOAD_ATTACHMENT,
    DOWNLOAD_ARCHIVE,
    LIST_MAILBOXES,
    REPORT_RECEIVED_MESSAGES,
    REPORT_RESULTS,
)
