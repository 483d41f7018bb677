"""What Entra ID says when it gives no token, and what is in one that it gives, in plain words. Decides only.

The codes are those of "Microsoft Entra authentication and authorization error codes"; they may change, so whatever is
not among them is still told as it came.
"""

import base64
import binascii
import json
import re
from typing import Any

from satchel.gateway.findings import Finding, failure, good, unknown, warning

_CODE = re.compile(r"AADSTS(\d{4,8})")
_TOKEN, _PERMISSIONS = "token", "permissions"
# What reading messages and attachments needs, by the value of an app role; the second contains the first.
_READ = "Mail.Read"
_READS = frozenset({_READ, "Mail.ReadWrite"})
_BASIC = frozenset({"Mail.ReadBasic", "Mail.ReadBasic.All"})
_ROTATE = "docs/microsoft-365.md tells how to change it without a pause."

# Code: what it means, what to do.
_REFUSALS = {
    7000215: (
        "The client secret is wrong.",
        "Set graph.client_secret to the secret's value; its id, which the portal shows beside it, is not a secret.",
    ),
    7000222: ("The client secret has expired.", f"Make a new one and set graph.client_secret. {_ROTATE}"),
    7000216: ("No credential was sent.", "Set graph.client_secret, or another graph.credential."),
    7000218: ("No credential was sent.", "Set graph.client_secret, or another graph.credential."),
    700016: (
        "The tenant knows no application of this id.",
        "Check graph.client_id (the application's id, not its object id) and graph.tenant_id.",
    ),
    7000229: (
        "The application has no service principal in this tenant.",
        "Make one: az ad sp create --id CLIENT_ID. Check graph.tenant_id as well.",
    ),
    7000112: ("The application is disabled in this tenant.", "Enable it under Enterprise applications."),
    90002: ("There is no such tenant.", "Check graph.tenant_id, and graph.authority for a national cloud."),
    900023: (
        "graph.tenant_id is no tenant's id and no domain.",
        "Write the directory's id, or a domain that is verified in it.",
    ),
    900382: (
        "This tenant is in another cloud.",
        "Set graph.authority and graph.base_url to those of the tenant's national cloud.",
    ),
    700027: (
        "The certificate is not registered with the application, or its signature is not accepted.",
        "Upload the certificate that is in graph.certificate_file: az ad app credential reset --append --cert.",
    ),
    700024: (
        "The signed statement is not valid at this time.",
        "Set this machine's clock by NTP, and see whether the certificate or the platform's token has expired.",
    ),
    70021: (
        "No federated credential fits the platform's token.",
        "Compare issuer, subject and audience of the application's federated credential with the token's.",
    ),
    500011: (
        "The tenant does not know Graph by this address.",
        "Set graph.base_url to that of the tenant's cloud; docs/microsoft-365.md names them.",
    ),
    53003: (
        "A Conditional Access policy refuses the application.",
        "Let the policy for workload identities allow the addresses that the gateway calls from.",
    ),
}
_SAME_AS = {700211: 70021, 700212: 70021, 700213: 70021, 900432: 900382}


def judge_token_refusal(text: str) -> Finding:
    """Why there is no token, from the text of the failure."""
    match = _CODE.search(text)
    if match is None and "credential" in text:
        return failure(
            _TOKEN,
            text,
            "Check graph.certificate_file: PEM with the certificate and its private key, or PKCS #12, and the password "
            "that it needs.",
        )
    if match is None:
        return failure(
            _TOKEN,
            text,
            "See that this machine reaches graph.authority, and that graph.ca_file is right where one is set.",
        )
    number = int(match[1])
    meaning, advice = _REFUSALS.get(
        _SAME_AS.get(number, number),
        ("The application gets no token.", f"Look the code up: https://login.microsoftonline.com/error?code={number}"),
    )
    return failure(_TOKEN, f"{meaning} (AADSTS{number})", advice)


def judge_token(token: str) -> tuple[Finding, ...]:
    """A token that was given, and what its permissions are good for. Its signature is Graph's matter."""
    claims = _claims(token)
    if claims is None:
        return (
            good(_TOKEN, "A token was given."),
            unknown(_PERMISSIONS, "The token does not show its permissions; what it may do is tried below."),
        )
    return good(_TOKEN, f"A token was given{_application(claims)}."), _judge_roles(_roles(claims))


def _judge_roles(roles: frozenset[str]) -> Finding:
    if not roles:
        return good(
            _PERMISSIONS,
            "No permission was consented to for the whole tenant. RBAC for Applications gives what it gives in "
            "Exchange, which the token does not show: see the mailboxes below.",
        )
    others = sorted(roles - {_READ})
    if others and roles & _READS:
        return warning(
            _PERMISSIONS,
            f"More was consented to than Satchel needs, for the whole tenant: {', '.join(others)}.",
            "Remove what is not Mail.Read; better also Mail.Read, and give it by RBAC for Applications.",
        )
    if others:
        only_basic = roles <= _BASIC
        return warning(
            _PERMISSIONS,
            f"Permissions for the whole tenant that Satchel has no use for: {', '.join(others)}."
            + (" They let nobody see attachments." if only_basic else ""),
            "Remove them. Mail.Read is needed, best by RBAC for Applications.",
        )
    return warning(
        _PERMISSIONS,
        "Mail.Read was consented to for the whole tenant: without an application access policy the application can "
        "read every mailbox.",
        "Give it by RBAC for Applications instead and remove the consent; docs/microsoft-365.md has the commands.",
    )


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    roles = claims.get("roles")
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()


def _application(claims: dict[str, Any]) -> str:
    app_id, tenant_id = claims.get("appid") or claims.get("azp"), claims.get("tid")
    parts = [f"{name} {value}" for name, value in (("application", app_id), ("tenant", tenant_id)) if value]
    return f" to {' of '.join(map(str, parts))}" if parts else ""


def _claims(token: str) -> dict[str, Any] | None:
    """The claims of a JSON Web Token (RFC 7519), None for one of another form."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None
