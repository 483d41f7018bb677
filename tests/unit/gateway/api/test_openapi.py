"""The OpenAPI document says what the operations do, names nothing that is not there, and leaves nothing out."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.openapi.models import OpenAPI

from satchel.contract.attachments import AttachmentList
from satchel.contract.errors import ErrorEnvelope, Reason
from satchel.contract.routes import LIST_MAILBOXES, ROUTES
from satchel.gateway.api.openapi import documented_path
from satchel.mail.source import SourceUnavailable
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import MemoryContent, MemorySource, attachment, call

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "openapi.json").read_text("utf-8"))
COMPONENTS = GOLDEN["components"]
KEYED = [path for path in GOLDEN["paths"] if path.startswith("/api/")]
Operations = list[tuple[str, str, dict[str, Any]]]
OPERATIONS: Operations = [
    (path, method, operation) for path, item in GOLDEN["paths"].items() for method, operation in item.items()
]
# No operation answers so: other methods of its path do.
OF_NO_OPERATION = {Reason.METHOD_NOT_ALLOWED}


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    _, kind, name = value["$ref"].removeprefix("#/").split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_document_that_is_served_is_the_golden_one(make_app: MakeApp) -> None:
    answer = await call(make_app(), "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == GOLDEN


def test_the_document_is_openapi() -> None:
    read = OpenAPI.model_validate(GOLDEN).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert list(read["paths"]) == list(GOLDEN["paths"])
    assert read["components"].keys() == COMPONENTS.keys()


def test_every_call_of_the_contract_is_there() -> None:
    for route in ROUTES:
        item = GOLDEN["paths"][documented_path(route.path)]
        assert set(item) == {method.lower() for method in route.methods}
        for operation in item.values():
            assert operation["security"] == [{"apiKey": sorted(route.scopes)}]
            assert operation["x-cost"] == route.cost


def test_references_lead_somewhere_and_no_component_is_idle() -> None:
    named = set(references(GOLDEN))
    there = {f"#/components/{kind}/{name}" for kind, parts in COMPONENTS.items() for name in parts}
    schemes = {f"#/components/securitySchemes/{name}" for name in COMPONENTS["securitySchemes"]}
    assert named == there - schemes


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[f"{m} {p}" for p, m, _ in OPERATIONS])
def test_an_operation_is_described_in_full(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    parameters = [resolved(parameter) for parameter in operation["parameters"]]
    assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))
    for parameter in parameters:
        assert parameter["description"]
        assert "example" in parameter
    for status, answer in operation["responses"].items():
        answer = resolved(answer)
        assert answer["description"]
        assert "X-Request-Id" in answer["headers"]
        has_body = method != "head" and status != "304"
        assert ("content" in answer) == has_body, status
    if path in KEYED:
        always = {"200", "400", "401", "403", "408", "429", "431", "500", "503"}
        found = always if path == LIST_MAILBOXES.path else always | {"404"}
        assert found <= operation["responses"].keys()


def test_headers_are_described_with_examples_that_fit() -> None:
    for name, header in COMPONENTS["headers"].items():
        assert header["description"], name
        pattern = header["schema"].get("pattern")
        assert pattern is None or re.search(pattern, header["example"]), name


def test_examples_of_failures_are_envelopes_of_their_status() -> None:
    for name, answer in COMPONENTS["responses"].items():
        statuses = {
            status
            for _, _, operation in OPERATIONS
            for status, used in operation["responses"].items()
            if used == {"$ref": f"#/components/responses/{name}"}
        }
        for reason, example in answer["content"]["application/json"]["examples"].items():
            envelope = msgspec.convert(example["value"], ErrorEnvelope)
            assert envelope.error.reason == reason
            code = envelope.error.code
            assert statuses == {code} or statuses == {f"{code[0]}XX"}, name


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 507])
async def test_what_is_forwarded_of_the_mail_server_is_described(
    status: int, source: MemorySource, make_app: MakeApp, make_key: MakeKey, index: Callable[..., None]
) -> None:
    index("m1")
    wait_seconds = 7.0 if status >= 429 else None
    source.failures = {"m1": SourceUnavailable("", upstream_status=status, retry_after_seconds=wait_seconds)}
    answer = await call(
        make_app(), "/api/v1/messages/m1/attachments", headers={"authorization": f"Bearer {make_key()}"}
    )
    assert answer.status == status
    responses = GOLDEN["paths"][KEYED[0]]["get"]["responses"]
    described = resolved(responses.get(str(status)) or responses["5XX"])
    reason = json.loads(answer.body)["error"]["reason"]
    assert reason in described["content"]["application/json"]["examples"]
    told = {name.lower() for name in described["headers"]}
    assert answer.headers.keys() - told <= {"content-type", "content-length"}


def test_every_reason_has_an_example() -> None:
    shown = {
        reason
        for answer in COMPONENTS["responses"].values()
        for reason in answer["content"]["application/json"]["examples"]
    }
    assert shown == {reason.value for reason in Reason} - OF_NO_OPERATION


def test_the_page_names_every_reason_with_its_statuses() -> None:
    page = (Path(__file__).parents[4] / "docs" / "api.md").read_text("utf-8")
    table = page.partition("| reason | status |")[2].partition("\n\n")[0]
    rows = [row.split(" | ", 1) for row in table.splitlines()]
    told = {reason: row[1] for row in rows if len(row) == 2 for reason in re.findall(r"`(\w+)`", row[0])}
    assert told.keys() == {reason.value for reason in Reason}
    for answer in COMPONENTS["responses"].values():
        for reason, example in answer["content"]["application/json"]["examples"].items():
            code = example["value"]["error"]["code"]
            assert code in told[reason] or f"{code[0]}xx" in told[reason], f"{reason}: {code}"


def test_the_example_of_a_list_is_one() -> None:
    content = GOLDEN["paths"][KEYED[0]]["get"]["responses"]["200"]["content"]["application/json"]
    assert len(msgspec.convert(content["example"], AttachmentList).attachments) == 2


def test_fields_are_told_as_they_are_sent() -> None:
    attachment_schema = COMPONENTS["schemas"]["Attachment"]
    assert attachment_schema["required"] == ["id", "name", "contentType", "size", "attachmentType"]
    # Left out where it is unknown, and never null.
    assert attachment_schema["properties"]["contentId"]["type"] == "string"
    assert "default" not in attachment_schema["properties"]["contentId"]


async def test_head_of_a_list_has_its_headers_alone(
    source: MemorySource, make_app: MakeApp, make_key: MakeKey, index: Callable[..., None]
) -> None:
    index("m1")
    source.files["m1"] = {"a1": MemoryContent(attachment("a1", b"data"), [b"data"], 4)}
    headers = {"authorization": f"Bearer {make_key()}"}
    got = await call(make_app(), "/api/v1/messages/m1/attachments", headers=headers)
    head = await call(make_app(), "/api/v1/messages/m1/attachments", method="HEAD", headers=headers)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(got.body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"])
@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/docs", "/api/v1/messages/m1/attachments/archive"])
async def test_other_methods_are_told_the_right_ones(make_app: MakeApp, method: str, path: str) -> None:
    answer = await call(make_app(), path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
