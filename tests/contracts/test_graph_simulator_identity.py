"""Sign-in to the Graph simulator with azure-identity itself, over TLS, in the ways that applications have."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential

from satchel.testing.graph import GraphSimulator

SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture
async def simulator() -> AsyncIterator[GraphSimulator]:
    async with GraphSimulator() as running:
        yield running


def options(simulator: GraphSimulator, **more: object) -> dict[str, Any]:
    return {"authority": simulator.base_url, "connection_verify": str(simulator.ca_file), **more}


async def gets_a_good_token(simulator: GraphSimulator, credential: Any) -> bool:
    async with credential:
        token = await credential.get_token(SCOPE)
    return simulator.world.tokens.is_good(f"Bearer {token.token}")


@pytest.mark.parametrize("discovery", [True, False])
async def test_a_secret(discovery: bool, simulator: GraphSimulator) -> None:
    more = options(simulator, disable_instance_discovery=not discovery)
    credential = ClientSecretCredential(simulator.tenant_id, simulator.client_id, simulator.client_secret, **more)
    assert await gets_a_good_token(simulator, credential)


async def test_a_certificate(simulator: GraphSimulator) -> None:
    file = str(simulator.client_certificate_file)
    more = options(simulator, disable_instance_discovery=True)
    credential = CertificateCredential(simulator.tenant_id, simulator.client_id, file, **more)
    assert await gets_a_good_token(simulator, credential)


async def test_a_workload(simulator: GraphSimulator, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(simulator.federated_token)
    credential = WorkloadIdentityCredential(
        tenant_id=simulator.tenant_id,
        client_id=simulator.client_id,
        token_file_path=str(file),
        **options(simulator, disable_instance_discovery=True),
    )
    assert await gets_a_good_token(simulator, credential)


async def test_another_app_s_certificate_is_refused(simulator: GraphSimulator) -> None:
    async with GraphSimulator() as other:
        stranger = str(other.client_certificate_file)
        _ = simulator.client_certificate_file
        more = options(simulator, disable_instance_discovery=True)
        async with CertificateCredential(simulator.tenant_id, simulator.client_id, stranger, **more) as credential:
            with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
                await credential.get_token(SCOPE)


@pytest.mark.parametrize(
    ("changed", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, 400, 700016),
        ({"grant_type": "password"}, 400, 70003),
        ({"scope": "Mail.Read"}, 400, 1002012),
        ({"client_assertion": "x", "client_assertion_type": "y"}, 400, 900144),
    ],
)
async def test_who_gets_no_token(changed: dict[str, str], status: int, number: int) -> None:
    async with GraphSimulator(tls=False) as simulator, aiohttp.ClientSession() as session:
        form = {
            "grant_type": "client_credentials",
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "scope": SCOPE,
        }
        url = f"{simulator.base_url}/{simulator.tenant_id}/oauth2/v2.0/token"
        async with session.post(url, data=form | changed) as answer:
            assert answer.status == status
            assert (await answer.json())["error_codes"] == [number]
        async with session.post(f"{simulator.base_url}/elsewhere/oauth2/v2.0/token", data=form) as answer:
            assert (await answer.json())["error_codes"] == [90002]
