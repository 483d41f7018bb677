"""Whether the time of a 404 tells an unknown message, one of another mailbox, and an unknown attachment apart.

Two thousand calls of each kind in random order; two-sample Kolmogorov-Smirnov tests of each pair of kinds. Beside it
the same gateway that holds no 404 back. A large distance between distributions is an oracle.
"""

import asyncio
import itertools
import json
import math
import random
import secrets
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.harness import Result, less_is_better, work_folder
from bench.setting import ids_in, message_ids
from satchel.contract.routes import DOWNLOAD_ATTACHMENT
from satchel.testing.mail import deliver, message_with_files
from satchel.testing.stack import MAILBOX, Stack

CALLS = 2000
CONNECTIONS = 8
MESSAGES = 20
OTHER_MAILBOX = "contracts@example.test"
SIGNIFICANCE = 0.01

Paths = Mapping[str, Callable[[], str]]


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest gap between two empirical distributions."""
    one, other = sorted(one), sorted(other)
    return max(
        abs(bisect_right(one, value) / len(one) - bisect_right(other, value) / len(other))
        for value in itertools.chain(one, other)
    )


def probability(gap: float, one: int, other: int) -> float:
    """How likely a gap of this size or more is between two samples of one distribution (Kolmogorov's series)."""
    root = math.sqrt(one * other / (one + other))
    scaled = (root + 0.12 + 0.11 / root) * gap
    if scaled < 0.2:
        return 1.0
    series = sum((-1) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * series))


async def measure(port: int, api_key: str, paths: Paths) -> dict[str, list[float]]:
    """Milliseconds of each call by kind, over a few connections that call one after the other."""
    kinds = [kind for kind in paths for _ in range(CALLS)]
    random.shuffle(kinds)
    left = iter(kinds)
    times: dict[str, list[float]] = {kind: [] for kind in paths}

    async def call() -> None:
        headers = f"Host: gateway\r\nAuthorization: Bearer {api_key}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for kind in left:
            request = f"GET {paths[kind]()} HTTP/1.1\r\n{headers}".encode()
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(length)
            times[kind].append((time.perf_counter() - began) * 1000)
            if not head.startswith(b"HTTP/1.1 404 "):
                raise SystemExit(f"answered {head[:20]!r} instead of 404")
        writer.close()

    await asyncio.gather(*(call() for _ in range(CONNECTIONS)))
    return times


def kinds_of_404(own: Sequence[str], others: Sequence[str]) -> Paths:
    """The three cases; ids that nobody has look like those that somebody has."""

    def unknown(like: str) -> str:
        return secrets.token_urlsafe(len(like))[: len(like)]

    def path(message_id: str) -> str:
        return DOWNLOAD_ATTACHMENT.url(message_id=message_id, attachment_id=unknown("A" * 22))

    return {
        "unknown message": lambda: path(unknown(own[0])),
        "message of another mailbox": lambda: path(random.choice(others)),
        "unknown attachment": lambda: path(random.choice(own)),
    }


def largest_gap(folder: Path, hold_seconds: float) -> tuple[float, float]:
    """The largest distance of any two kinds, and its probability over all pairs (Bonferroni)."""
    gateway = {"rate_limit_per_minute": 0, "log.level": "warning", "not_found_hold_seconds": hold_seconds}
    with Stack(folder, (MAILBOX, OTHER_MAILBOX), gateway=gateway) as stack:
        stack.folder.mkdir(parents=True)
        stack.prepare()
        own_key = ("--mailbox", MAILBOX, "--scope", "messages:read", "--scope", "messages:content", "--expires", "1d")
        api_key = stack.run("gateway", "keys", "create", "one mailbox", *own_key).strip()
        for number in range(MESSAGES):
            deliver(stack.maildir(MAILBOX), message_with_files(number, 2, 1000))
            deliver(stack.maildir(OTHER_MAILBOX), message_with_files(number, 2, 1000))
        stack.start("gateway")
        message_ids(stack, 2 * MESSAGES)
        paths = kinds_of_404(ids_in(stack, MAILBOX), ids_in(stack, OTHER_MAILBOX))
        times = asyncio.run(measure(stack.gateway_port, api_key, paths))
    return judge(times, hold_seconds)


def judge(times: Mapping[str, Sequence[float]], hold_seconds: float) -> tuple[float, float]:
    pairs = list(itertools.combinations(times, 2))
    found = []
    for one, other in pairs:
        gap = distance(times[one], times[other])
        p = min(1.0, probability(gap, len(times[one]), len(times[other])) * len(pairs))
        verdict = "differ" if p < SIGNIFICANCE else "do not differ"
        print(f"  held {hold_seconds:g} s: {one} and {other} {verdict} (D {gap:.4f}, p {p:.3g})", file=sys.stderr)
        found.append((gap, p))
    return max(found)


def run() -> list[Result]:
    with work_folder("not_found") as folder:
        held, held_p = largest_gap(folder / "held", 0.05)
        free, _ = largest_gap(folder / "free", 0)
    results = [less_is_better("not_found_gap", held, free, "404s that are not held back", "largest KS distance")]
    print(json.dumps({"p": held_p, "calls of each kind": CALLS}), file=sys.stderr)
    return results
