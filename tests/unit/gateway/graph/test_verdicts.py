"""What each answer of Graph, of Entra ID and of our own URL comes to."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from satchel.gateway.findings import Verdict, failure, good, unknown, warning, worst
from satchel.gateway.graph.entra import judge_token, judge_token_refusal
from satchel.gateway.graph.settings import GraphSettings
from satchel.gateway.graph.verdicts import (
    judge_clock,
    judge_folder,
    judge_mailbox,
    judge_notification_scheme,
    judge_notification_url,
    judge_refused_mailbox,
    judge_settings,
    judge_subscriptions,
    judge_throttling,
)
from satchel.mail.host import Subscription, SubscriptionStatus
from satchel.mail.probe import Reply

GOOD, UNKNOWN, WARNING, FAILURE = Verdict
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ADDRESS = "invoices@example.com"
URL, PATH = "https://mail.example.com", "/notifications/graph"


def graph(**changes: Any) -> GraphSettings:
    values: dict[str, Any] = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "mailboxes": [ADDRESS]}
    return GraphSettings(**values | changes)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([], GOOD), ([UNKNOWN], GOOD), ([GOOD, WARNING], WARNING), ([WARNING, FAILURE, GOOD], FAILURE)],
)
def test_the_worst_counts(verdicts: list[Verdict], expected: Verdict) -> None:
    made = {GOOD: good("c", "t"), UNKNOWN: unknown("c", "t"), WARNING: warning("c", "t", "a")}
    assert worst(made.get(verdict, failure("c", "t", "a")) for verdict in verdicts) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AADSTS7000215: Invalid client secret provided. Ensure the secret being sent ...", "secret is wrong"),
        ("ClientAuthenticationError AADSTS7000222.", "secret has expired"),
        ("AADSTS700016: Application with identifier 'x' was not found in the directory", "no application of this id"),
        ("AADSTS90002: Tenant 'x' not found.", "no such tenant"),
        ("AADSTS700027: The certificate with identifier used to sign ... is not registered", "not registered"),
        ("AADSTS700213: No matching federated identity record found", "federated"),
        ("AADSTS900432: Confidential Client is not supported in Cross Cloud request.", "another cloud"),
        ("AADSTS50196: a loop", "gets no token"),
    ],
)
def test_why_there_is_no_token(text: str, said: str) -> None:
    finding = judge_token_refusal(text)
    assert (finding.check, finding.verdict) == ("token", FAILURE)
    assert said in finding.text
    assert "AADSTS" in finding.text
    assert finding.advice


def test_a_code_that_nobody_knows_is_told_as_it_came() -> None:
    assert "code=50196" in judge_token_refusal("AADSTS50196").advice


def test_a_credential_that_cannot_be_read() -> None:
    assert "certificate_file" in judge_token_refusal("The credential cannot be read (ValueError).").advice


def test_an_authority_that_cannot_be_reached() -> None:
    finding = judge_token_refusal("The authority cannot be reached: Connection refused.")
    assert (finding.verdict, "Connection refused" in finding.text) == (FAILURE, True)


def token(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@pytest.mark.parametrize(
    ("roles", "verdict", "said"),
    [
        ([], GOOD, "No permission was consented to"),
        (["Mail.Read"], WARNING, "can read every mailbox"),
        (["Mail.Read", "Mail.Send"], WARNING, "Mail.Send"),
        (["Mail.ReadWrite"], WARNING, "Mail.ReadWrite"),
        (["User.Read.All"], WARNING, "no use for: User.Read.All"),
        (["Mail.ReadBasic.All"], WARNING, "let nobody see attachments"),
    ],
)
def test_permissions_of_a_token(roles: list[str], verdict: Verdict, said: str) -> None:
    first, second = judge_token(token(roles=roles, appid="an-application", tid="a-tenant"))
    assert (first.verdict, "application an-application of tenant a-tenant" in first.text) == (GOOD, True)
    assert (second.check, second.verdict) == ("permissions", verdict)
    assert said in second.text


def test_a_token_without_roles_is_one_by_rbac() -> None:
    assert judge_token(token(appid="x"))[1].verdict is GOOD


@pytest.mark.parametrize("opaque", ["", "opaque", "a.b", "a.%%.c", "a.W10.c", "a.e30", f"a.{'A' * 5}.c", "a.\x00.c"])
def test_a_token_of_another_form(opaque: str) -> None:
    assert [finding.verdict for finding in judge_token(opaque)] == [GOOD, UNKNOWN]


@pytest.mark.parametrize("roles", ["Mail.Read", 7, None, [7, None], {"Mail.Read": 1}])
def test_roles_that_are_none(roles: object) -> None:
    assert "No permission" in judge_token(token(roles=roles))[1].text


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, GOOD),
        ({"base_url": "http://127.0.0.1:9"}, WARNING),
        ({"authority": "https://login.microsoftonline.us"}, FAILURE),
        ({"authority": "https://login.microsoftonline.us", "base_url": "https://graph.microsoft.us"}, GOOD),
        ({"authority": "https://login.microsoftonline.us", "base_url": "https://dod-graph.microsoft.us"}, GOOD),
        ({"base_url": "https://microsoftgraph.chinacloudapi.cn"}, FAILURE),
        ({"authority": "https://127.0.0.1:1"}, WARNING),
        ({"base_url": "https://127.0.0.1:1"}, WARNING),
        ({"authority": "https://127.0.0.1:1", "base_url": "https://127.0.0.1:1"}, GOOD),
    ],
)
def test_clouds(changes: dict[str, Any], verdict: Verdict) -> None:
    assert worst(judge_settings(graph(**changes))) is verdict


@pytest.mark.parametrize(
    ("reply", "verdict", "said"),
    [
        (Reply(status=200), GOOD, "can be read"),
        (Reply(status=403, code="ErrorAccessDenied"), FAILURE, "refuses it (403 ErrorAccessDenied)"),
        (Reply(status=404, code="ErrorInvalidUser"), FAILURE, "no such mailbox"),
        (Reply(status=401), FAILURE, "does not accept the token"),
        (Reply(status=429), WARNING, "limiting"),
        (Reply(status=503), FAILURE, "503"),
        (Reply(status=None, trouble="no answer within 15 s"), FAILURE, "no answer within 15 s"),
    ],
)
def test_a_mailbox_that_is_served(reply: Reply, verdict: Verdict, said: str) -> None:
    finding = judge_mailbox(ADDRESS, reply)
    assert finding.verdict is verdict
    assert said in finding.text
    assert ADDRESS in finding.text


@pytest.mark.parametrize(
    ("address", "reply", "verdict", "said"),
    [
        ("boss@example.com", Reply(status=403), GOOD, "is refused, as it must be"),
        ("boss@example.com", Reply(status=200), FAILURE, "can read every mailbox"),
        ("boss@example.com", Reply(status=404), WARNING, "is not there"),
        ("boss@example.com", Reply(status=429), UNKNOWN, "no answer that would tell"),
        ("boss@example.com", Reply(status=None, trouble="broken"), UNKNOWN, "broken"),
        (None, None, WARNING, "was not tried"),
    ],
)
def test_the_mailbox_that_must_be_refused(address: str | None, reply: Reply, verdict: Verdict, said: str) -> None:
    finding = judge_refused_mailbox(address, reply)
    assert finding.verdict is verdict
    assert said in finding.text


def at(our_seconds: float) -> Reply:
    return Reply(status=200, server_time=NOW, our_time=NOW + timedelta(seconds=our_seconds))


@pytest.mark.parametrize(
    ("replies", "verdict", "said"),
    [
        ([], UNKNOWN, "did not tell"),
        ([Reply(status=200)], UNKNOWN, "did not tell"),
        ([at(1.2)], GOOD, "agrees"),
        ([at(-30)], GOOD, "agrees"),
        ([at(-31)], WARNING, "31 s behind"),
        ([at(299)], WARNING, "299 s ahead of"),
        ([at(301)], FAILURE, "301 s ahead of"),
        ([at(400), at(2)], GOOD, "agrees"),
    ],
)
def test_clocks(replies: list[Reply], verdict: Verdict, said: str) -> None:
    finding = judge_clock(replies)
    assert finding.verdict is verdict
    assert said in finding.text


@pytest.mark.parametrize(
    ("replies", "verdict", "said"),
    [
        ([Reply(status=200)], GOOD, "of 1 asked"),
        ([Reply(status=200, throttle_share=0.7)], GOOD, "of 1 asked"),
        ([Reply(status=None, trouble="no answer")], UNKNOWN, "did not answer"),
        ([Reply(status=200, throttle_share=0.9)], WARNING, "90% of a limit"),
        ([Reply(status=200), Reply(status=429, retry_after_seconds=42)], WARNING, "1 of 2, for 42 s more"),
        ([Reply(status=429)], WARNING, "1 of 1."),
    ],
)
def test_throttling(replies: list[Reply], verdict: Verdict, said: str) -> None:
    finding = judge_throttling(replies)
    assert finding.verdict is verdict
    assert said in finding.text


@pytest.mark.parametrize(
    ("url", "reply", "verdict", "said"),
    [
        (URL, Reply(status=200, content_type="text/plain; charset=utf-8", body=b"a b+c"), GOOD, "handshake"),
        (URL, Reply(status=200, content_type="text/html", body=b"a b+c"), FAILURE, "not with the token"),
        (URL, Reply(status=200, content_type="text/plain", body=b"a%20b%2Bc"), FAILURE, "not with the token"),
        (URL, Reply(status=301), FAILURE, "leads elsewhere"),
        (URL, Reply(status=401), FAILURE, "401"),
        (URL, Reply(status=502), FAILURE, "502"),
        (URL, Reply(status=None, trouble="certificate has expired"), FAILURE, "certificate has expired"),
    ],
)
def test_the_notification_url(url: str, reply: Reply, verdict: Verdict, said: str) -> None:
    finding = judge_notification_url(url, PATH, reply, "a b+c")
    assert finding.verdict is verdict
    assert said in finding.text
    assert f"{url}{PATH}" in finding.text


def test_the_notification_url_is_https() -> None:
    assert judge_notification_scheme(URL) is None
    finding = judge_notification_scheme("http://mail.example.com")
    assert finding is not None
    assert (finding.verdict, "not https" in finding.text) == (FAILURE, True)


def subscription(status: SubscriptionStatus = SubscriptionStatus.ACTIVE, minutes: float | None = 60) -> Subscription:
    expires_at = None if minutes is None else NOW + timedelta(minutes=minutes)
    return Subscription("k", ADDRESS, "inbox", "hash", status, "id", expires_at)


@pytest.mark.parametrize(
    ("url", "known", "verdict", "said"),
    [
        (None, [], GOOD, "polled every 30 s"),
        (URL, [subscription()], GOOD, "1 wanted, all active"),
        (URL, [], WARNING, f"1 of 1 not active: {ADDRESS}"),
        (URL, [subscription(minutes=-1)], WARNING, "1 of 1"),
        (URL, [subscription(minutes=None)], WARNING, "1 of 1"),
        (URL, [subscription(SubscriptionStatus.REMOVED)], WARNING, "1 of 1"),
        (URL, [subscription(SubscriptionStatus.CREATING)], WARNING, "1 of 1"),
    ],
)
def test_subscriptions(url: str | None, known: list[Subscription], verdict: Verdict, said: str) -> None:
    finding = judge_subscriptions(graph(notification_url=url), known, NOW)
    assert finding.verdict is verdict
    assert said in finding.text


def test_folders() -> None:
    assert judge_folder(None, "no such folder").verdict is FAILURE
    assert judge_folder([]).verdict is WARNING
    assert judge_folder(["a@example.com"]).text == "The mail folder can be read: 1 mailbox."
