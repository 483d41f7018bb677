"""Reports and mailboxes over the API: who may ask what, what is answered, and what is said of a wrong request."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from satchel.contract.mailboxes import MailboxList
from satchel.contract.reports import ReceivedMessage
from satchel.contract.routes import LIST_MAILBOXES, REPORT_RECEIVED_MESSAGES, REPORT_RESULTS
from satchel.contract.scopes import Scope
from satchel.gateway.store.report_rows import count_slice
from satchel.gateway.store.reports import running_runs
from satchel.gateway.store.tables import mailboxes, report_runs
from tests.unit.gateway.conftest import MakeApp, MakeKey
from tests.unit.gateway.fakes import MAILBOX, OTHER_MAILBOX, Answer, call

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "reports.json").read_text("utf-8"))
MAILBOXES, REPORT = LIST_MAILBOXES.path, REPORT_RECEIVED_MESSAGES.path
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
_AGES_AGO = datetime(2000, 1, 1, tzinfo=UTC)

Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def key(make_key: MakeKey) -> str:
    return make_key()


@pytest.fixture
def ask(make_app: MakeApp, key: str) -> Ask:
    """Calls one application: a POST where there is a body, which may be parameters."""
    app = make_app()

    async def asked(path: str, parameters: Any = None, *, key: str = key, body: bytes = b"", **more: Any) -> Answer:
        if parameters is not None:
            body = json.dumps({"parameters": parameters}).encode()
        headers = {"authorization": f"Bearer {key}", "x-request-id": "golden-1", **more.pop("headers", {})}
        return await call(
            app, path, method=more.pop("method", "POST" if body else "GET"), headers=headers, body=body, **more
        )

    return asked


@pytest.fixture
def ids(engine: sa.Engine, make_key: MakeKey) -> dict[str, str]:
    with engine.connect() as connection:
        return {row.address: row.id for row in connection.execute(sa.select(mailboxes.c.address, mailboxes.c.id))}


def decoded(answer: Answer) -> dict[str, Any]:
    assert answer.complete
    value: dict[str, Any] = json.loads(answer.body)
    return value


def path_of(link: dict[str, str]) -> str:
    parts = urlsplit(link["href"])
    assert f"{parts.scheme}://{parts.netloc}" == "http://gateway.test"
    return f"{parts.path}?{parts.query}"


def count_all(engine: sa.Engine) -> None:
    now = datetime.now(UTC)
    for run_id in running_runs(engine, now, given_up_before=_AGES_AGO):
        while count_slice(engine, run_id, now, given_up_before=_AGES_AGO, limit=2):
            continue


def received(ids: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"mailboxId": ids[MAILBOX], "activityType": "received", **more}


async def test_mailboxes_are_the_keys_own(ask: Ask, ids: dict[str, str], make_key: MakeKey) -> None:
    answer = await ask(MAILBOXES)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert decoded(answer) == {
        "mailboxes": [
            {
                "mailboxId": ids[MAILBOX],
                "mailboxName": MAILBOX,
                "mailboxEmail": MAILBOX,
                "active": True,
                "timeZone": "UTC",
                "users": [],
                "tags": [],
            }
        ]
    }
    both = await ask(MAILBOXES, key=make_key(mailboxes=(MAILBOX, OTHER_MAILBOX)))
    listed = msgspec.json.decode(both.body, type=MailboxList).mailboxes
    assert [each.mailbox_email for each in listed] == [OTHER_MAILBOX, MAILBOX]
    head = await ask(MAILBOXES, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(answer.body)))


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        (MAILBOXES, {Scope.REPORTING}),
        (REPORT, {Scope.REPORTING, Scope.MESSAGES_READ}),
        (REPORT_RESULTS.url(run_id=UNKNOWN_ID), {Scope.REPORTING}),
    ],
)
async def test_keys_are_judged_before_the_request(ask: Ask, make_key: MakeKey, path: str, needed: set[Scope]) -> None:
    wrong = {"body": b'{"parameters": {"a": 1}}'} if path == REPORT else {}
    unknown = await ask(f"{path}?max=0", key="nonsense", **wrong)
    assert (unknown.status, decoded(unknown)["error"]["reason"]) == (401, "key_invalid")
    for missing in needed:
        refused = await ask(f"{path}?max=0", key=make_key(*(set(Scope) - {missing})), **wrong)
        assert (refused.status, decoded(refused)["error"]["reason"]) == (403, "missing_scope")
        if path == REPORT:
            # Nobody had read it, and it is told all the same.
            assert decoded(refused)["_links"]["origin"]["body"] == {"parameters": {"a": 1}}
    allowed = await ask(f"{path}?max=0", key=make_key(*needed), **wrong)
    assert allowed.status == (200 if path == MAILBOXES else 400)


async def test_calls_count_against_the_rate(make_app: MakeApp, make_key: MakeKey) -> None:
    app, headers = make_app(limit=2), {"authorization": f"Bearer {make_key()}"}
    answers = [await call(app, MAILBOXES, headers=headers) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"account";r=1;')
    assert "retry-after" in answers[2].headers


async def test_a_report_is_begun_asked_for_and_paged(
    ask: Ask, engine: sa.Engine, ids: dict[str, str], index: Callable[..., None]
) -> None:
    index("a", "b", "c")
    index("board", mailbox=OTHER_MAILBOX)
    answer = decoded(await ask(f"{REPORT}?max=2", received(ids)))
    assert (answer["status"], answer["progress"]) == ("running", 0)
    assert answer["result"] == {"data": [], "total": None}
    assert answer["_links"]["origin"] == {
        "href": f"http://gateway.test{REPORT}?max=2",
        "method": "POST",
        "body": {"parameters": received(ids)},
    }
    assert decoded(await ask(path_of(answer["_links"]["self"]))) == answer
    count_all(engine)
    first = decoded(await ask(path_of(answer["_links"]["self"])))
    second = decoded(await ask(path_of(first["_links"]["next"])))
    assert (first["status"], first["progress"], first["result"]["total"]) == ("done", 100, 3)
    rows = msgspec.convert(first["result"]["data"] + second["result"]["data"], list[ReceivedMessage])
    assert [row.message_id for row in rows] == ["a", "b", "c"]
    assert {row.mailbox_id for row in rows} == {ids[MAILBOX]}
    assert "next" not in second["_links"]
    assert decoded(await ask(path_of(second["_links"]["prev"])))["result"] == first["result"]
    assert first["_links"]["origin"] == answer["_links"]["origin"]


def anonymous(body: bytes, ids: dict[str, str]) -> Any:
    """An answer with what is different each time put aside."""
    text = body.decode().replace(ids[MAILBOX], "<mailbox>")
    value = json.loads(text)
    run_id = value["_links"].get("self", {}).get("href", "").rpartition("/")[2].partition("?")[0]
    value = json.loads(text.replace(run_id, "<run>")) if run_id else value
    if "dataCutoffTimestamp" in value.get("result", {}):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value["result"]["dataCutoffTimestamp"])
        value["result"]["dataCutoffTimestamp"] = "<cutoff>"
    return value


async def test_answers_on_the_wire(
    ask: Ask, engine: sa.Engine, ids: dict[str, str], index: Callable[..., None]
) -> None:
    index("a", "b", "c")
    begun = await ask(f"{REPORT}?max=1&fieldGroup=basic,participants&starting_after=1", received(ids))
    self_ = path_of(decoded(begun)["_links"]["self"])
    count_all(engine)
    done = await ask(self_)
    over = decoded(await ask(REPORT, received(ids, activityEnd="2026-01-31T23:59:59Z")))
    count_all(engine)
    closed = decoded(await ask(REPORT, {"mailboxId": ids[MAILBOX], "activityType": "closed"}))
    with engine.begin() as connection:
        begin_of_time = sa.update(report_runs).where(report_runs.c.activity_type == "closed")
        connection.execute(begin_of_time.values(status="error", progress=40))
    answers = {
        "begun": begun,
        "done": done,
        "over": await ask(path_of(over["_links"]["self"])),
        "failed": await ask(path_of(closed["_links"]["self"])),
        "unknown mailbox": await ask(REPORT, {"mailboxId": UNKNOWN_ID, "activityType": "received"}),
        "wrong parameter": await ask(f"{REPORT}?max=501", received(ids)),
        "wrong body": await ask(REPORT, received(ids, activityStart="2026-01-05")),
        "unknown report": await ask(REPORT_RESULTS.url(run_id=UNKNOWN_ID)),
    }
    seen = {name: {"status": each.status, "body": anonymous(each.body, ids)} for name, each in answers.items()}
    assert seen == GOLDEN


async def test_another_keys_and_an_old_result_are_as_unknown_ones(
    ask: Ask, engine: sa.Engine, ids: dict[str, str], make_key: MakeKey
) -> None:
    run = path_of(decoded(await ask(REPORT, received(ids)))["_links"]["self"])
    count_all(engine)
    assert (await ask(run)).status == 200
    unknown = await ask(REPORT_RESULTS.url(run_id=UNKNOWN_ID) + "?max=50")
    strangers = await ask(run, key=make_key())
    with engine.begin() as connection:
        before = datetime.now(UTC) - timedelta(hours=24)
        connection.execute(sa.update(report_runs).values(created_at=before))
    old = await ask(run)
    nonsense = [await ask(REPORT_RESULTS.path.replace("{run_id}", each)) for each in ("x", "%00", UNKNOWN_ID.upper())]
    for answer in (unknown, strangers, old, *nonsense):
        assert answer.status == 404
        assert answer.headers.keys() == unknown.headers.keys()
        assert decoded(answer)["error"] == decoded(unknown)["error"]


async def test_other_mailboxes_are_as_unknown_ones(ask: Ask, ids: dict[str, str]) -> None:
    answers = [
        await ask(REPORT, {"mailboxId": each, "activityType": "received"})
        for each in (UNKNOWN_ID, ids[OTHER_MAILBOX], "x", "\0", ids[MAILBOX].upper())
    ]
    for answer in answers:
        assert answer.status == 404
        assert decoded(answer)["error"] == decoded(answers[0])["error"]
        assert answer.headers.keys() == answers[0].headers.keys()


async def test_a_fourth_report_waits(ask: Ask, engine: sa.Engine, ids: dict[str, str], make_key: MakeKey) -> None:
    for key in (make_key(), make_key(), make_key()):
        assert (await ask(REPORT, received(ids), key=key)).status == 200
    fourth = await ask(REPORT, received(ids))
    assert (fourth.status, fourth.headers["retry-after"]) == (429, "5")
    assert decoded(fourth)["error"]["reason"] == "too_many_reports"
    assert decoded(fourth)["_links"]["origin"]["body"] == {"parameters": received(ids)}
    count_all(engine)
    assert (await ask(REPORT, received(ids))).status == 200


@pytest.mark.parametrize(
    ("body", "status", "is_echoed"),
    [
        (b'{"parameters": {"mailboxId": 1}}', 400, True),
        (b'{"parameters": {}} ', 400, True),
        (b"{", 400, False),
        (b'{"a": "\xff"}', 400, False),
        (b"[" * 10_000, 400, False),
        (b'"' + b"x" * 16_382 + b'"', 400, True),
        (b'"' + b"x" * 16_383 + b'"', 413, False),
    ],
)
async def test_wrong_bodies(ask: Ask, key: str, body: bytes, status: int, is_echoed: bool) -> None:
    answer = await ask(REPORT, body=body)
    assert answer.status == status
    failure = decoded(answer)
    assert failure["error"]["reason"] == "invalid_request"
    assert failure["_links"]["origin"]["method"] == "POST"
    assert ("body" in failure["_links"]["origin"]) == is_echoed


async def test_long_queries(ask: Ask, ids: dict[str, str]) -> None:
    note = "x" * (4096 - len("note="))
    assert (await ask(f"{REPORT}?note={note}", received(ids))).status == 200
    for path, parameters in ((REPORT, received(ids)), (REPORT_RESULTS.url(run_id=UNKNOWN_ID), None)):
        answer = await ask(f"{path}?note={note}x", parameters)
        assert (answer.status, decoded(answer)["error"]["message"][:26]) == (400, "The query is too long: at ")


async def test_a_report_without_a_body(ask: Ask) -> None:
    answer = await ask(REPORT, method="POST")
    assert (answer.status, decoded(answer)["error"]["message"][:20]) == (400, "The body is no JSON.")


async def test_any_content_type_will_do(ask: Ask, ids: dict[str, str]) -> None:
    for number, kind in enumerate(("text/plain", "application/x-www-form-urlencoded", "nonsense")):
        answer = await ask(f"{REPORT}?unknown={number}", received(ids), headers={"content-type": kind})
        assert answer.status == 200


async def test_near_the_depth_that_can_be_read(ask: Ask, ids: dict[str, str], engine: sa.Engine) -> None:
    for depth in range(700, 1000, 20):
        nested = "[" * depth + "]" * depth
        body = f'{{"parameters": {{"mailboxId": "{ids[MAILBOX]}", "activityType": "received", "x": {nested}}}}}'
        answer = await ask(REPORT, body=body.encode())
        assert answer.status in {200, 400}
        if answer.status == 200:
            assert nested.encode() in answer.body
        count_all(engine)


@pytest.mark.parametrize(("path", "allowed"), [(MAILBOXES, "GET, HEAD"), (REPORT, "POST")])
async def test_other_methods(ask: Ask, path: str, allowed: str) -> None:
    answer = await ask(path, method="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


async def test_head_of_a_result(ask: Ask, ids: dict[str, str]) -> None:
    path = path_of(decoded(await ask(REPORT, received(ids)))["_links"]["self"])
    got, head = await ask(path), await ask(path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))


async def test_logs_name_ids_alone(ask: Ask, ids: dict[str, str]) -> None:
    with capture_logs() as logs:
        await ask(f"{REPORT}?note=Ann", received(ids, note="Ann", senderDomain="example.com"))
    assert "report_begun" in {line["event"] for line in logs}
    assert "Ann" not in repr(logs)
    assert "example" not in repr(logs)
