"""What of Entra ID an application needs to sign in: the token endpoint, and the documents that lead to it."""

import uuid
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from satchel.testing.graph.stored import utc
from satchel.testing.graph.tokens import TokenRefused
from satchel.testing.graph.world import World


class Authority:
    """The routes, over one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self.token)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self.configuration)
        app.router.add_get("/common/discovery/instance", self.instance)

    async def token(self, request: web.Request) -> web.StreamResponse:
        """OAuth 2.0 client credentials (RFC 6749 section 4.4)."""
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        try:
            return web.json_response(self._world.tokens.grant(request.match_info["tenant"], form), headers=_UNCACHED)
        except TokenRefused as error:
            return web.json_response(self._refusal(error), status=error.status, headers=_UNCACHED)

    async def configuration(self, request: web.Request) -> web.StreamResponse:
        """OpenID Connect discovery."""
        at, tenant = self._world.base_url, request.match_info["tenant"]
        return web.json_response(
            {
                "token_endpoint": f"{at}/{tenant}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "jwks_uri": f"{at}/{tenant}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{at}/{self._world.tokens.app.tenant_id}/v2.0",
                "authorization_endpoint": f"{at}/{tenant}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{at}/{tenant}/oauth2/v2.0/devicecode",
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
                "msgraph_host": at.partition("://")[2],
            }
        )

    async def instance(self, request: web.Request) -> web.StreamResponse:
        """Instance discovery, by which msal asks whether it knows the authority."""
        endpoint = unquote(request.query.get("authorization_endpoint", ""))
        tenant = endpoint.removeprefix(self._world.base_url).strip("/").partition("/")[0]
        where = f"{self._world.base_url}/{tenant}/v2.0/.well-known/openid-configuration"
        return web.json_response({"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": []})

    def _refusal(self, error: TokenRefused) -> dict[str, Any]:
        return {
            "error": error.error,
            "error_description": str(error),
            "error_codes": [error.number],
            "timestamp": utc(self._world.now()).strftime("%Y-%m-%d %H:%M:%SZ"),
            "trace_id": str(uuid.uuid4()),
            "correlation_id": str(uuid.uuid4()),
            "error_uri": f"{self._world.base_url}/error?code={error.number}",
        }


_UNCACHED = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
