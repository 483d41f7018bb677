"""Names that lead inside, at once or the second time, by a real name server: nothing gets through."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from satchel.gateway.settings import WebhookSettings
from tests.contracts.name_server import AskingResolver, name_server
from tests.contracts.rebinding import INSIDE, PUBLIC, PUBLIC_IPV6, Listeners, attempts, expected, lying_zone
from tests.services import need

# Stand for public addresses: the ones that are allowed by name, while 127.0.0.1 is not.
OUTSIDE, OUTSIDE_IPV6 = "127.0.0.2", "fd00::2"


async def test_a_name_server_that_lies() -> None:
    zone = lying_zone(OUTSIDE, OUTSIDE_IPV6)
    settings = WebhookSettings(allow_http=True, allowed_networks=[OUTSIDE, OUTSIDE_IPV6])
    listeners = Listeners()
    await listeners.listen([*INSIDE, OUTSIDE])
    async with name_server(zone) as address:
        ends = await attempts(list(zone), listeners.port, settings, AskingResolver(address))
    await listeners.aclose()
    assert ends == expected(OUTSIDE, OUTSIDE_IPV6)
    answered = sum(each.count("answered") for each in ends.values())
    assert listeners.connections == {**dict.fromkeys(INSIDE, 0), OUTSIDE: answered}


def test_the_systems_own_resolver_and_real_public_addresses() -> None:
    unshare = need("unshare", "install Debian's package util-linux")
    need("ip", "install Debian's package iproute2")
    separate = [unshare, "--user", "--map-root-user", "--net", "--mount"]
    if subprocess.run([*separate, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine makes no namespaces for its users")
    here = Path(__file__).parents[2]
    program = [*separate, sys.executable, "-m", "tests.contracts.rebinding"]
    played = json.loads(subprocess.run(program, cwd=here, check=True, stdout=subprocess.PIPE, timeout=60).stdout)
    ends, connections = played["ends"], played["connections"]
    assert ends == expected(PUBLIC, PUBLIC_IPV6)
    assert {address: connections[address] for address in INSIDE} == dict.fromkeys(INSIDE, 0)
    assert connections[PUBLIC] == sum(each.count("answered") for each in ends.values())
