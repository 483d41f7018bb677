"""What a doctor's questions to Graph and to ourselves have shown: each answer becomes a finding. Decides only."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from satchel.gateway.findings import Finding, failure, good, unknown, warning
from satchel.gateway.graph.settings import GraphSettings
from satchel.mail.host import Subscription, SubscriptionStatus
from satchel.mail.probe import Reply

_RBAC = "docs/microsoft-365.md has the commands; a change takes from half an hour to two hours to be felt."
# Beyond five minutes Entra ID refuses statements that the gateway signs, and takes new tokens for not valid yet.
_SKEW_WARNING_SECONDS, _SKEW_FAILURE_SECONDS = 30.0, 300.0
_THROTTLE_WARNING_SHARE = 0.8

# Where tokens come from, and the Graphs that take them ("Microsoft Graph national cloud deployments").
_CLOUDS = {
    "https://login.microsoftonline.com": {"https://graph.microsoft.com"},
    "https://login.microsoftonline.us": {"https://graph.microsoft.us", "https://dod-graph.microsoft.us"},
    "https://login.partner.microsoftonline.cn": {"https://microsoftgraph.chinacloudapi.cn"},
    "https://login.chinacloudapi.cn": {"https://microsoftgraph.chinacloudapi.cn"},
}


def judge_settings(graph: GraphSettings) -> tuple[Finding, ...]:
    """What can be told from the settings alone. That they are whole was seen when they were read."""
    found: list[Finding] = []
    if graph.base_url.startswith("http://"):
        found.append(
            warning(
                "settings",
                "graph.base_url is plain HTTP: tokens and mail travel open.",
                "Use https:// anywhere but in tests.",
            )
        )
    found += _judge_cloud(graph.authority, graph.base_url)
    if not found:
        count = len(set(graph.mailboxes))
        found.append(good("settings", f"The settings are whole: credential {graph.credential!r}, {_mailboxes(count)}."))
    return tuple(found)


def _judge_cloud(authority: str, base_url: str) -> list[Finding]:
    fitting = _CLOUDS.get(authority)
    knows_graph = any(base_url in base_urls for base_urls in _CLOUDS.values())
    text = f"graph.authority is {authority} and graph.base_url {base_url}"
    advice = "Set both to those of the tenant's cloud; docs/microsoft-365.md names them."
    if fitting is not None and knows_graph and base_url not in fitting:
        return [failure("settings", f"{text}: they are of two clouds.", advice)]
    if (fitting is not None) != knows_graph:
        return [warning("settings", f"{text}: only one of them is Microsoft's.", advice)]
    return []


def judge_mailbox(address: str, reply: Reply) -> Finding:
    """Whether a mailbox that is to be served can be read."""
    check = "mailbox"
    if reply.status is not None and reply.status < 300:
        return good(check, f"{address} can be read.")
    what = _what(reply)
    if reply.status == 403:
        return failure(
            check,
            f"{address}: Exchange refuses it ({what}).",
            f"Put the mailbox into the application's management scope. {_RBAC}",
        )
    if reply.status == 404:
        return failure(
            check,
            f"{address}: there is no such mailbox or folder ({what}).",
            "Check its address and graph.folders; it must be in Exchange Online, and have a licence or be shared.",
        )
    if reply.status == 401:
        return failure(
            check,
            f"{address}: Graph does not accept the token ({what}).",
            "Check that graph.authority and graph.base_url are of one cloud, and the clock of this machine.",
        )
    if reply.status == 429:
        return warning(check, f"{address}: Graph is limiting requests just now.", "Ask again in a few minutes.")
    if reply.status is None:
        return failure(check, f"{address}: Graph does not answer: {what}.", "See that this machine reaches it.")
    return failure(check, f"{address}: Graph answers {what}.", "Ask again later; graph.base_url must be Graph's.")


def judge_refused_mailbox(address: str | None, reply: Reply | None) -> Finding:
    """Whether the mailbox that the application must not reach is refused."""
    check = "refused_mailbox"
    if address is None or reply is None:
        return warning(
            check,
            "Whether the application is kept to its mailboxes was not tried.",
            "Set graph.refused_mailbox to the address of a mailbox that it must not read.",
        )
    if reply.status is not None and reply.status < 300:
        return failure(
            check,
            f"{address} can be read, and must not be: the application can read every mailbox.",
            f"Remove the consent to Mail.Read for the whole tenant and use RBAC for Applications. {_RBAC}",
        )
    if reply.status == 403:
        return good(check, f"{address} is refused, as it must be.")
    if reply.status == 404:
        return warning(
            check,
            f"{address} is not there, so nothing was shown by asking for it.",
            "Set graph.refused_mailbox to a mailbox that exists.",
        )
    return unknown(check, f"{address}: no answer that would tell ({_what(reply)}).")


def judge_clock(replies: Sequence[Reply]) -> Finding:
    """Our clock beside Graph's. The `Date` of an answer is of whole seconds."""
    skews = [
        (reply.our_time - reply.server_time).total_seconds()
        for reply in replies
        if reply.our_time is not None and reply.server_time is not None
    ]
    if not skews:
        return unknown("clock", "Graph did not tell its time.")
    skew = min(skews, key=abs)
    text = f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Graph's."
    if abs(skew) <= _SKEW_WARNING_SECONDS:
        return good("clock", "This machine's clock agrees with Graph's.")
    if abs(skew) <= _SKEW_FAILURE_SECONDS:
        return warning("clock", text, "Keep it in step by NTP.")
    return failure("clock", text, "Set it by NTP: tokens are refused when it is off by more than five minutes.")


def judge_throttling(replies: Sequence[Reply]) -> Finding:
    """Whether Graph limits us now, or says that it soon will."""
    asked = sum(reply.status is not None for reply in replies)
    if not asked:
        return unknown("throttling", "Graph did not answer, so whether it limits requests is not known.")
    limited = [reply for reply in replies if reply.status == 429]
    if limited:
        wait = max((reply.retry_after_seconds or 0.0 for reply in limited), default=0.0)
        until = f", for {wait:.0f} s more" if wait else ""
        return warning(
            "throttling",
            f"Graph limited requests: {len(limited)} of {asked}{until}.",
            "See what else uses this application: 10,000 requests in ten minutes are allowed for a mailbox, four at "
            "once.",
        )
    shares = [reply.throttle_share for reply in replies if reply.throttle_share is not None]
    if shares and max(shares) >= _THROTTLE_WARNING_SHARE:
        return warning(
            "throttling",
            f"{max(shares):.0%} of a limit are used.",
            "Poll less often, or use notifications (graph.notification_url).",
        )
    return good("throttling", f"No request was limited, of {asked} asked.")


def judge_notification_scheme(url: str) -> Finding | None:
    """What is wrong with a URL that Graph would not even ask."""
    if urlsplit(url).scheme == "https":
        return None
    return failure(
        "notification_url", f"{url} is not https://: Graph sends notifications nowhere else.", "Use https://."
    )


def judge_notification_url(url: str, path: str, reply: Reply, token: str) -> Finding:
    """Whether Graph's handshake succeeds at a URL of ours, as far as can be told from here."""
    check = "notification_url"
    if reply.status is None:
        return failure(
            check,
            f"{url}{path} cannot be reached from here: {_what(reply)}.",
            "The gateway must be running for this check, behind a proxy with a certificate that everybody trusts.",
        )
    if reply.status == 200 and reply.body == token.encode() and reply.content_type.startswith("text/plain"):
        return good(check, f"{url}{path} answers the handshake, asked from here. Graph asks from the internet.")
    if 300 <= reply.status < 400:
        return failure(check, f"{url}{path} leads elsewhere ({reply.status}).", "Graph follows no redirects.")
    if reply.status == 200:
        return failure(
            check,
            f"{url}{path} answers, but not with the token that was sent.",
            "Let the proxy pass /notifications/graph and what is below it to the gateway as it is, query included.",
        )
    return failure(
        check,
        f"{url}{path} answers {_what(reply)}.",
        "Let the proxy pass /notifications/graph and what is below it to the gateway, without asking who is there.",
    )


def judge_subscriptions(graph: GraphSettings, known: Sequence[Subscription], now: datetime) -> Finding:
    """What the gateway's own records say of its subscriptions."""
    check = "subscriptions"
    if graph.notification_url is None:
        return good(check, f"No subscriptions: mailboxes are polled every {graph.poll_seconds:g} s.")
    wanted = {(address, folder) for address in graph.mailboxes for folder in graph.folders}
    active = {
        (each.mailbox, each.folder)
        for each in known
        if each.status is SubscriptionStatus.ACTIVE and each.expires_at is not None and each.expires_at > now
    }
    missing = wanted - active
    if not missing:
        return good(check, f"Subscriptions: {len(wanted)} wanted, all active.")
    addresses = ", ".join(sorted({address for address, _ in missing}))
    return warning(
        check,
        f"Subscriptions: {len(missing)} of {len(wanted)} not active: {addresses}.",
        f"A running gateway makes them within minutes; until then it finds messages every {graph.catch_up_seconds:g} "
        "s. If it goes on, its log says why.",
    )


def judge_folder(addresses: Sequence[str] | None, trouble: str = "") -> Finding:
    """Of an account that reads a local folder: whether it is there, and has mailboxes."""
    if addresses is None:
        return failure(
            "folder", trouble, 'Make it or mount it, or set folder.path; source = "graph" for Microsoft 365.'
        )
    if not addresses:
        return warning("folder", "The mail folder has no mailboxes.", "Put one into it: docs/gateway.md says how.")
    return good("folder", f"The mail folder can be read: {_mailboxes(len(addresses))}.")


def _mailboxes(count: int) -> str:
    return "1 mailbox" if count == 1 else f"{count} mailboxes"


def _what(reply: Reply) -> str:
    return f"{reply.status} {reply.code}".rstrip() if reply.status is not None else reply.trouble or "no answer"
