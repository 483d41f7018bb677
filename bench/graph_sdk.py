"""Twenty attachments of 25 MB from one Graph: Satchel's source, beside Microsoft's msgraph-sdk as it documents it."""

import json
import subprocess
import sys

from bench.graph_upstream import MAILBOX, Upstream, upstream
from bench.harness import Result, less_is_better
from satchel.testing.mail import message_with_files

FILES = 20
SIZE = 25_000_000
TIMES = 2

# Each reads its arguments, fetches the list and then the files, four at a time as Exchange allows, and prints seconds
# and MiB above what the process had when its imports were done.
_COMMON = """\
import asyncio, json, resource, ssl, sys, time
base_url, ca_file, token, mailbox, message_id, count, size = sys.argv[1:]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def measured(fetch_all):
    before, begun = peak(), time.perf_counter()
    sizes = await fetch_all()
    assert sizes == [int(size)] * int(count), sizes
    print(json.dumps([time.perf_counter() - begun, peak() - before]))

async def four_at_once(fetch, ids):
    places = asyncio.Semaphore(4)
    async def one(each):
        async with places:
            return await fetch(each)
    return await asyncio.gather(*map(one, ids))
"""
OURS = (
    _COMMON
    + """
import uvloop
from bench.graph_gateway import source
from satchel.mail.source import MessageRef

async def main():
    graph = source(base_url, ca_file, token)
    ref = MessageRef(mailbox, message_id, message_id)
    async def fetch(attachment_id):
        content = await graph.open(ref, attachment_id)
        received = 0
        async for piece in content.chunks():
            received += len(piece)
        await content.aclose()
        return received
    async def fetch_all():
        return await four_at_once(fetch, [each.id for each in await graph.list(ref)])
    await measured(fetch_all)
    await graph.aclose()

uvloop.run(main())
"""
)
THEIRS = (
    _COMMON
    + """
import httpx
from kiota_abstractions.authentication import BaseBearerTokenAuthenticationProvider
from kiota_abstractions.authentication.access_token_provider import AccessTokenProvider
from kiota_abstractions.authentication.allowed_hosts_validator import AllowedHostsValidator
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.users.item.messages.item.attachments.attachments_request_builder import (
    AttachmentsRequestBuilder,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph_core import GraphClientFactory

class FixedToken(AccessTokenProvider):
    async def get_authorization_token(self, uri, additional_authentication_context={}):
        return token
    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator(["127.0.0.1"])

async def main():
    trust = ssl.create_default_context(cafile=ca_file)
    http = httpx.AsyncClient(verify=trust, base_url=base_url + "/v1.0", timeout=300)
    client = GraphClientFactory.create_with_default_middleware(client=http)
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(FixedToken()), client)
    adapter.base_url = base_url + "/v1.0"
    graph = GraphServiceClient(request_adapter=adapter)
    attachments = graph.users.by_user_id(mailbox).messages.by_message_id(message_id).attachments
    def asking(**parameters):
        made = RequestConfiguration()
        if parameters:
            made.query_parameters = AttachmentsRequestBuilder.AttachmentsRequestBuilderGetQueryParameters(**parameters)
        made.headers.add("Prefer", 'IdType="ImmutableId"')
        return made
    async def fetch(attachment_id):
        found = await attachments.by_attachment_id(attachment_id).get(request_configuration=asking())
        return len(found.content_bytes)
    async def fetch_all():
        listed = await attachments.get(request_configuration=asking(select=["id", "name", "size"]))
        return await four_at_once(fetch, [each.id for each in listed.value])
    await measured(fetch_all)

asyncio.run(main())
"""
)


def fetched(code: str, graph: Upstream, files: int, size: int) -> tuple[float, float]:
    """Seconds and MiB above idle of one program."""
    [message_id] = graph.message_ids
    arguments = [graph.base_url, str(graph.ca_file), graph.token, MAILBOX, message_id, str(files), str(size)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True)
    seconds, mib = json.loads(done.stdout)
    return seconds, mib


def run(*, files: int = FILES, size: int = SIZE, times: int = TIMES) -> list[Result]:
    with upstream([message_with_files(1, files, size)]) as graph:
        theirs = [fetched(THEIRS, graph, files, size) for _ in range(times)]
        ours = [fetched(OURS, graph, files, size) for _ in range(times)]
    name, unit = "msgraph-sdk", "MiB above idle"
    our_mib, their_mib = max(0.1, max(mib for _, mib in ours)), min(mib for _, mib in theirs)
    return [
        less_is_better("graph_sdk_memory", our_mib, their_mib, name, unit),
        less_is_better("graph_sdk_time", min(s for s, _ in ours), min(s for s, _ in theirs), name, "s"),
    ]
