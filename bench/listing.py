"""Listing a 500 MB message with exact sizes, beside the standard library's parser: time and memory."""

import json
import subprocess
import sys
from pathlib import Path

from bench.harness import Result, less_is_better, work_folder
from satchel.testing.mail import deliver, large_message

# Base64 with line ends is 78 bytes for 57: this makes the message file 500 MB long.
SIZE = 500_000_000 * 57 // 78

CHILD = """\
import json, os, resource, sys, time
path = sys.argv[1]
{imports}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
{body}
took = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([took, (peak - before) / 1024, size]))
"""

OURS = CHILD.format(
    imports="from satchel.mail.mime import measure, read_structure",
    body="""\
file = os.open(path, os.O_RDONLY)
[found] = read_structure(file, 0, os.fstat(file).st_size).attachments
size = measure(file, found).total""",
)
PEER = CHILD.format(
    imports="from email import message_from_binary_file\nfrom email.policy import default",
    body="""\
with open(path, "rb") as file:
    message = message_from_binary_file(file, policy=default)
[found] = message.iter_attachments()
size = len(found.get_payload(decode=True))""",
)


def measure(code: str, path: Path, times: int) -> tuple[float, float, int]:
    """Seconds, MiB above the idle interpreter, and the size found: the best of some runs."""
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(times)
    ]
    return min((run[0], run[1], run[2]) for run in runs)


def run() -> list[Result]:
    with work_folder("listing") as folder:
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir()
        path = deliver(folder, large_message(SIZE))
        our_seconds, our_mib, our_size = measure(OURS, path, 3)
        their_seconds, their_mib, their_size = measure(PEER, path, 1)
    if not our_size == their_size == SIZE:
        raise SystemExit(f"sizes differ: ours {our_size}, the parser's {their_size}, in truth {SIZE}")
    return [
        less_is_better("listing_time", our_seconds, their_seconds, "email.parser, policy.default", "s"),
        less_is_better(
            "listing_memory", max(our_mib, 0.1), their_mib, "email.parser, policy.default", "MiB above idle"
        ),
    ]
