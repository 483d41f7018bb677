"""The ceiling on memory while one large attachment goes from the folder through both programs to disk.

The suite takes a file of moderate size; MEMORY_MIB sets another one, such as 2048.
"""

import os
import threading

import psutil

from satchel.testing.mail import deliver, large_message
from satchel.testing.stack import Stack
from tests.e2e.observe import ledger, stored_count, until

MIB = 1024 * 1024
SIZE = int(os.environ.get("MEMORY_MIB", "192")) * MIB
CEILING_MIB = 40


class Peak:
    """The most memory that a process has had since it was looked at first, above what it had then."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self.idle = self.highest = self._process.memory_info().rss

    def look(self) -> None:
        self.highest = max(self.highest, self._process.memory_info().rss)

    @property
    def above_idle_mib(self) -> float:
        return (self.highest - self.idle) / MIB


def test_an_attachment_of_any_size_needs_little_memory(stack: Stack) -> None:
    processes = {program: stack.start(program) for program in ("gateway", "collector")}
    message = large_message(SIZE)
    done = threading.Event()
    peaks = {program: Peak(process.pid) for program, process in processes.items()}

    def watch() -> None:
        while not done.wait(0.02):
            for peak in peaks.values():
                peak.look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        deliver(stack.maildir(), message)
        until(lambda: stored_count(stack) == 1, "the file stored", timeout_seconds=100)
    finally:
        done.set()
        watching.join()
    [row] = ledger(stack)
    assert (row["size"], row["sha256"]) == (SIZE, message.expected[0].sha256)
    above = {program: round(peak.above_idle_mib, 1) for program, peak in peaks.items()}
    print(f"MiB above idle with {SIZE // MIB} MiB: {above}")
    assert all(mib <= CEILING_MIB for mib in above.values()), above
