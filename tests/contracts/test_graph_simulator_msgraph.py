"""Microsoft's own client, msgraph-sdk, against the simulator over TLS: a proof by code that is not ours.

All in one module, because the SDK takes seconds to import.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web
from azure.identity.aio import ClientSecretCredential

from satchel.testing.graph import GraphSimulator, next_calls
from satchel.testing.mail import message_with_files, sample_messages
from tests.contracts.graph_calls import MAILBOX, digest

pytestmark = [
    # The SDK's own modules use what they have deprecated themselves.
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
    pytest.mark.xdist_group("msgraph-sdk"),
]


@dataclass
class Client:
    simulator: GraphSimulator
    graph: Any

    @property
    def user(self) -> Any:
        return self.graph.users.by_user_id(MAILBOX)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph_core import GraphClientFactory

    async with GraphSimulator() as simulator:
        credential = ClientSecretCredential(
            simulator.tenant_id,
            simulator.client_id,
            simulator.client_secret,
            authority=simulator.base_url,
            connection_verify=str(simulator.ca_file),
            disable_instance_discovery=True,
        )
        trust = ssl.create_default_context(cafile=str(simulator.ca_file))
        root = f"{simulator.base_url}/v1.0"
        # The SDK's transport never closes the one that it wraps, so no connection is kept.
        bare = httpx.AsyncClient(verify=trust, base_url=root, limits=httpx.Limits(max_keepalive_connections=0))
        http = GraphClientFactory.create_with_default_middleware(client=bare)
        scopes = ["https://graph.microsoft.com/.default"]
        provider = AzureIdentityAuthenticationProvider(credential, scopes=scopes, allowed_hosts=["127.0.0.1"])
        adapter = GraphRequestAdapter(provider, http)
        adapter.base_url = root
        yield Client(simulator, GraphServiceClient(request_adapter=adapter))
        await http.aclose()
        await credential.close()


def immutable(parameters: Any = None) -> Any:
    from kiota_abstractions.base_request_configuration import RequestConfiguration

    configuration = RequestConfiguration(query_parameters=parameters)
    configuration.headers.add("Prefer", 'IdType="ImmutableId"')
    return configuration


async def content(client: Client, message_id: str, attachment_id: str) -> bytes:
    """An attachment's `$value`, for which the SDK has no method of its own."""
    from kiota_abstractions.method import Method
    from kiota_abstractions.request_information import RequestInformation

    asked = RequestInformation()
    asked.http_method = Method.GET
    path = f"users/{MAILBOX}/messages/{message_id}/attachments/{attachment_id}/$value"
    asked.url = f"{client.simulator.base_url}/v1.0/{path}"
    body = await client.graph.request_adapter.send_primitive_async(asked, "bytes", {})
    assert isinstance(body, bytes)
    return body


async def test_messages_and_attachments_over_pages(client: Client) -> None:
    from msgraph.generated.users.item.messages.messages_request_builder import MessagesRequestBuilder

    samples = {sample.internet_message_id: sample for sample in sample_messages(300_000)}
    for sample in samples.values():
        client.simulator.deliver(MAILBOX, sample)
    parameters = MessagesRequestBuilder.MessagesRequestBuilderGetQueryParameters(top=4)
    page = await client.user.messages.get(request_configuration=immutable(parameters))
    listed = list(page.value)
    assert len(listed) == 4
    while page.odata_next_link:
        page = await client.user.messages.with_url(page.odata_next_link).get(request_configuration=immutable())
        listed += page.value
    assert {each.internet_message_id for each in listed} == samples.keys()
    for each in listed:
        expected = samples[each.internet_message_id].expected
        attachments = (await client.user.messages.by_message_id(each.id).attachments.get()).value
        assert [one.name for one in attachments] == [one.name for one in expected]
        for one, wanted in zip(attachments, expected, strict=True):
            assert one.odata_type == f"#microsoft.graph.{wanted.attachment_type}"
            if wanted.attachment_type == "fileAttachment":
                assert digest(one.content_bytes) == wanted.sha256
                assert digest(await content(client, each.id, one.id)) == wanted.sha256
        mime = await client.user.messages.by_message_id(each.id).content.get()
        assert mime == samples[each.internet_message_id].to_bytes()


async def test_many_attachments_over_pages_and_through_throttling(client: Client) -> None:
    from msgraph.generated.users.item.messages.item.attachments.attachments_request_builder import (
        AttachmentsRequestBuilder,
    )

    sample = message_with_files(1, files=11, size=1000)
    message_id = client.simulator.deliver(MAILBOX, sample)
    client.simulator.faults.attachments_per_page = 4
    client.simulator.faults.throttle = next_calls(1)
    select = ["id", "name", "size", "microsoft.graph.fileAttachment/contentId"]
    parameters = AttachmentsRequestBuilder.AttachmentsRequestBuilderGetQueryParameters(select=select)
    builder = client.user.messages.by_message_id(message_id).attachments
    page = await builder.get(request_configuration=immutable(parameters))
    found = list(page.value)
    while page.odata_next_link:
        page = await builder.with_url(page.odata_next_link).get(request_configuration=immutable())
        found += page.value
    assert [each.name for each in found] == [each.name for each in sample.expected]
    assert all(each.content_bytes is None for each in found)
    assert client.simulator.peaks.throttled == 1


async def test_what_is_refused_is_an_error_of_the_sdk(client: Client) -> None:
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError

    client.simulator.add_mailbox("boss@example.com", refused=True)
    with pytest.raises(ODataError) as refused:
        await client.graph.users.by_user_id("boss@example.com").messages.get()
    assert refused.value.response_status_code == 403
    assert refused.value.error.code == "ErrorAccessDenied"
    assert refused.value.error.inner_error.request_id


async def test_a_subscription_from_handshake_to_removal(client: Client) -> None:
    from msgraph.generated.models.subscription import Subscription

    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        if "validationToken" in request.query:
            return web.Response(text=request.query["validationToken"])
        for each in (await request.json())["value"]:
            await told.put(each)
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/notify", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        client.simulator.add_mailbox(MAILBOX)
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
        asked = Subscription(
            change_type="created",
            notification_url=url,
            lifecycle_notification_url=url,
            resource=f"users/{MAILBOX}/mailFolders('inbox')/messages",
            expiration_date_time=datetime.now(UTC) + timedelta(hours=2),
            client_state="secret",
        )
        made = await client.graph.subscriptions.post(asked, request_configuration=immutable())
        message_id = client.simulator.deliver(MAILBOX, sample_messages(1000)[0])
        notification = await asyncio.wait_for(told.get(), 10)
        assert notification["clientState"] == "secret"
        found = await client.user.messages.by_message_id(notification["resourceData"]["id"]).get(
            request_configuration=immutable()
        )
        assert found.id == message_id
        later = Subscription(expiration_date_time=datetime.now(UTC) + timedelta(hours=40))
        builder = client.graph.subscriptions.by_subscription_id(made.id)
        assert (await builder.patch(later)).expiration_date_time > made.expiration_date_time
        await builder.reauthorize.post()
        await builder.delete()
        assert (await client.graph.subscriptions.get()).value == []
    finally:
        await runner.cleanup()


async def test_delta(client: Client) -> None:
    for sample in sample_messages(1000):
        client.simulator.deliver(MAILBOX, sample)
    builder = client.user.mail_folders.by_mail_folder_id("inbox").messages.delta
    configuration = immutable()
    configuration.headers.add("Prefer", "odata.maxpagesize=4")
    page = await builder.get(request_configuration=configuration)
    seen = [each.id for each in page.value]
    while page.odata_next_link:
        page = await builder.with_url(page.odata_next_link).get(request_configuration=configuration)
        seen += [each.id for each in page.value]
    assert len(seen) == len(set(seen)) == len(sample_messages(1000))
    came = client.simulator.deliver(MAILBOX, sample_messages(1000)[0])
    page = await builder.with_url(page.odata_delta_link).get(request_configuration=immutable())
    assert [each.id for each in page.value] == [came]


async def test_ids_are_translated(client: Client) -> None:
    from msgraph.generated.models.exchange_id_format import ExchangeIdFormat
    from msgraph.generated.users.item.translate_exchange_ids.translate_exchange_ids_post_request_body import (
        TranslateExchangeIdsPostRequestBody,
    )

    message_id = client.simulator.deliver(MAILBOX, sample_messages(1000)[0])
    asked = TranslateExchangeIdsPostRequestBody(
        input_ids=[client.simulator.mutable_id(MAILBOX, message_id)],
        source_id_type=ExchangeIdFormat.RestId,
        target_id_type=ExchangeIdFormat.RestImmutableEntryId,
    )
    answer = await client.user.translate_exchange_ids.post(asked)
    assert [each.target_id for each in answer.value] == [message_id]
