"""200 messages of 5 files of 200 KB: the collector beside the sequential loop that the public guide shows."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.harness import Result, less_is_better, work_folder
from bench.latency import delayed
from bench.setting import deliver_many, message_ids, post_event, quiet_stack, wait_until_stored
from satchel.testing.stack import Stack

MESSAGES, FILES, SIZE = 200, 5, 200_000
# A gateway in another town, one way: a round trip is twice this, and a new connection costs one more.
FAR_SECONDS = 0.01

LOOP = """\
import json, os, sys, time
import requests
base, key, target = sys.argv[1:4]
headers = {"Authorization": "Bearer " + key}
begin = time.perf_counter()
for message_id in json.load(sys.stdin):
    answer = requests.get(f"{base}/api/v1/messages/{message_id}/attachments", headers=headers, timeout=30)
    answer.raise_for_status()
    for attachment in answer.json()["attachments"]:
        if attachment["attachmentType"] != "fileAttachment":
            continue
        url = f"{base}/api/v1/messages/{message_id}/attachments/{attachment['id']}/download"
        with requests.get(url, headers=headers, timeout=300, stream=True) as download:
            download.raise_for_status()
            name = download.headers["Content-Disposition"].split("filename=")[-1].strip('"') or attachment["name"]
            with open(os.path.join(target, f"{message_id}-{name}"), "wb") as file:
                for piece in download.iter_content(chunk_size=65536):
                    file.write(piece)
print(time.perf_counter() - begin)
"""


def sequential(stack: Stack, url: str, ids: list[str], target: Path) -> float:
    target.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LOOP, url, stack.api_key, str(target)],
        input=json.dumps(ids).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    stored = [path.stat().st_size for path in target.iterdir()]
    if len(stored) != MESSAGES * FILES or set(stored) != {SIZE}:
        raise SystemExit(f"the sequential loop stored {len(stored)} files")
    return float(done.stdout)


def collected(stack: Stack, ids: list[str]) -> float:
    """From the first webhook to the last row of the ledger that says stored."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(8) as posters:
        list(posters.map(lambda message_id: post_event(stack, message_id), ids))
    wait_until_stored(stack, MESSAGES * FILES)
    return time.perf_counter() - begin


def compare(name: str, delay_seconds: float) -> Result:
    with work_folder(name) as folder, quiet_stack(folder) as stack:
        deliver_many(stack, MESSAGES, FILES, SIZE)
        stack.start("gateway")
        ids = message_ids(stack, MESSAGES)
        with delayed(stack, delay_seconds) as url:
            theirs = sequential(stack, url, ids, folder / "sequential")
            stack.start("collector")
            ours = collected(stack, ids)
    return less_is_better(name, ours, theirs, "sequential requests loop", "s")


def run() -> list[Result]:
    return [compare("collector_loop_local", 0.0), compare("collector_loop_far", FAR_SECONDS)]
