"""Takes what Microsoft 365 posts: change notifications and word of a subscription's life. Writes it down and answers;
the work comes later (Graph: "Receive change notifications through webhooks", and lifecycle notifications).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from satchel.contract.errors import BadRequest
from satchel.contract.routes import Route
from satchel.gateway.api.bodies import read_body
from satchel.gateway.api.routing import Operation, WholeResponse
from satchel.gateway.store.batches import Batches
from satchel.gateway.store.database import Store
from satchel.gateway.store.notices import NameMessage, Notice, Taken, take_notices
from satchel.mail.host import hash_client_state

NOTIFICATIONS = Route("/notifications/graph", ("POST",), scopes=frozenset(), cost=0, needs_key=False)
LIFECYCLE = Route("/notifications/graph/lifecycle", ("POST",), scopes=frozenset(), cost=0, needs_key=False)
_MAX_BODY_BYTES = 1024 * 1024
# More than a body can hold of Graph's own, which have some hundred bytes each.
_MAX_NOTICES = 5000
_MAX_TOKEN_CHARACTERS = 4096
_CREATED = "created"


class _ResourceData(msgspec.Struct, frozen=True):
    id: str | None = None


class _Notification(msgspec.Struct, frozen=True, rename="camel"):
    client_state: str | None = None
    change_type: str | None = None
    lifecycle_event: str | None = None
    resource_data: _ResourceData | None = None


class _Body(msgspec.Struct, frozen=True):
    value: Annotated[list[_Notification], msgspec.Meta(max_length=_MAX_NOTICES)]


class Notifications:
    """What is posted to both URLs, and how much of it there was since the start.

    Anybody can post: what does not bring the secret of a subscription of ours is counted and forgotten.
    """

    def __init__(
        self, store: Store, name_message: NameMessage, *, on_arrival: Callable[[], None] = lambda: None
    ) -> None:
        """`on_arrival` is called when messages have been written down as pending."""
        self._batches: Batches[Sequence[Notice], Taken] = Batches(
            store, partial(take_notices, name_message=name_message)
        )
        self._on_arrival = on_arrival
        self.taken_count = 0
        self.refused_count = 0
        self.unreadable_count = 0

    async def take(self, request: Request) -> Response:
        """The answer to a post: 200 with the token in a handshake, else 202 once everything is on disk.

        Also 202 where the secret is wrong, so that nobody learns by trying which one is right, and Graph does not post
        again what nobody wants. Raises BadRequest for a body that is too large or is none of Graph's.
        """
        # It may hold the secret of a subscription.
        request.scope["state"]["body_is_private"] = True
        token = request.query_params.get("validationToken")
        if token is not None:
            return _handshake(token)
        notices = self._notices(await read_body(request, _MAX_BODY_BYTES))
        if notices:
            taken = await self._batches.ask(notices)
            self.taken_count += taken.known
            self.refused_count += taken.refused
            if taken.new_messages:
                self._on_arrival()
        return WholeResponse(status_code=202)

    def _notices(self, body: bytes) -> list[Notice]:
        try:
            posted = msgspec.json.decode(body, type=_Body).value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.unreadable_count += 1
            raise BadRequest("The body is no collection of notifications.") from None
        return [_notice(each) for each in posted]


def notification_operations(notifications: Notifications) -> tuple[Operation, ...]:
    """Both URLs. They are no part of the API for clients, so nothing describes them there."""
    return Operation(NOTIFICATIONS, notifications.take), Operation(LIFECYCLE, notifications.take)


def _notice(posted: _Notification) -> Notice:
    is_created = posted.lifecycle_event is None and posted.change_type == _CREATED and posted.resource_data is not None
    return Notice(
        client_state_hash=hash_client_state(posted.client_state or ""),
        graph_id=posted.resource_data.id if is_created and posted.resource_data is not None else None,
        lifecycle_event=posted.lifecycle_event,
    )


def _handshake(token: str) -> Response:
    """The token as it is, as plain text that no browser takes for a page."""
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise BadRequest("The validation token is too long.")
    return WholeResponse(token, 200, {"X-Content-Type-Options": "nosniff"}, media_type="text/plain")
