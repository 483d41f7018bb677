"""The errors that Graph answers with, in its own words and its own shape."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any


class GraphError(Exception):
    """An answer that is no success. `code` is what clients branch on; `message` may be empty, as Exchange's often are.

    `headers` go with it. `spelling` is the name of the inner error, which the services behind Graph spell differently.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        spelling: str = "innerError",
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.spelling = spelling

    def body(self, request_id: str, client_request_id: str | None, now: datetime) -> dict[str, Any]:
        """The JSON of the answer."""
        inner = {
            "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        return {"error": {"code": self.code, "message": self.message, self.spelling: inner}}


def item_not_found() -> GraphError:
    """A message or an attachment that is not there (any more)."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def malformed_id() -> GraphError:
    """What was given as an id is none."""
    return GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")


def access_denied() -> GraphError:
    """The app is not allowed to do this in this mailbox."""
    return GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def bad_query(message: str) -> GraphError:
    """A query option that cannot be read."""
    return GraphError(400, "BadRequest", message)


def unknown_property(name: str, of_type: str) -> GraphError:
    """A property that the type does not have, as in a `$select` without the cast that it needs."""
    message = f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type '{of_type}'."
    return GraphError(400, "RequestBroker--ParseUri", message)


def invalid_token(message: str = "Access token has expired or is not yet valid.") -> GraphError:
    """401, with the challenge that names the authority."""
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    return GraphError(401, "InvalidAuthenticationToken", message, headers={"WWW-Authenticate": challenge})


def new_request_id() -> str:
    """What Graph calls each request by."""
    return str(uuid.uuid4())
