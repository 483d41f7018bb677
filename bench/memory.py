"""Peak memory of gateway and collector while 1 GiB flows through both, beside the scripts that hold it all."""

import json
import subprocess
import sys

from bench.harness import MIB, PeakMemory, Result, less_is_better, work_folder
from bench.setting import deliver_file, message_ids, only_attachment, post_event, quiet_stack, wait_until_stored

SIZE = 1024 * MIB

REQUESTS = """\
import json, resource, sys
import requests
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = requests.get(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]}, timeout=300)
answer.raise_for_status()
open("/dev/null", "wb").write(answer.content)
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""
PARSER = """\
import json, resource, sys
from email import message_from_binary_file
from email.policy import default
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file:
    [found] = message_from_binary_file(file, policy=default).iter_attachments()
open("/dev/null", "wb").write(found.get_payload(decode=True))
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""


def script(code: str, *arguments: str) -> float:
    """MiB above idle that a script reports of itself."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))


def run() -> list[Result]:
    with work_folder("memory") as folder, quiet_stack(folder) as stack:
        path = deliver_file(stack, SIZE)
        gateway, collector = stack.start("gateway"), stack.start("collector")
        [message_id] = message_ids(stack, 1)
        with PeakMemory(gateway.pid) as gateway_memory, PeakMemory(collector.pid) as collector_memory:
            post_event(stack, message_id)
            wait_until_stored(stack, 1)
        url = stack.gateway_url + only_attachment(stack, message_id)
        requests_mib = script(REQUESTS, url, stack.api_key)
        parser_mib = script(PARSER, str(path))
    unit = "MiB above idle"
    return [
        less_is_better("memory_gateway", gateway_memory.above_idle_mib, parser_mib, "email.parser", unit),
        less_is_better("memory_collector", collector_memory.above_idle_mib, requests_mib, "requests .content", unit),
    ]
