"""What every benchmark shares: a result beside its peer's, child processes on loopback, and their memory."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
WORK = Path(__file__).parent / "work"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of ours beside a peer's of the same run. A ratio above 1 is in our favour, whatever the unit."""

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float


def more_is_better(name: str, ours: float, peer: float, peer_name: str, unit: str) -> Result:
    return Result(name, round(ours, 3), round(peer, 3), peer_name, unit, round(ours / peer, 3))


def less_is_better(name: str, ours: float, peer: float, peer_name: str, unit: str) -> Result:
    return Result(name, round(ours, 3), round(peer, 3), peer_name, unit, round(peer / ours, 3))


class PeerMissing(Exception):
    """The program to compare with is not on this machine; the message says what to install."""


def peer_program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise PeerMissing(f"{name} is not on this machine; install Debian's package {package}")
    return found


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def process(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is ended with the block."""
    with (folder / "peer.log").open("ab") as log:
        child = subprocess.Popen(arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


def wait_for(port: int, timeout_seconds: float = 10) -> None:
    """Until something listens on a loopback port."""
    give_up = time.monotonic() + timeout_seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def best(function: Callable[[], object], times: int) -> float:
    """The fastest of several calls: what disturbs a run only ever slows it."""
    return min(seconds(function) for _ in range(times))


class PeakMemory:
    """The most resident memory that a process has while the block runs, above what it had before, in MiB."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._idle = self._peak = 0

    def __enter__(self) -> Self:
        self._idle = self._peak = self._process.memory_info().rss
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._done.wait(0.01):
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def above_idle_mib(self) -> float:
        return (self._peak - self._idle) / MIB

    @property
    def idle_mib(self) -> float:
        return self._idle / MIB


def report(results: list[Result]) -> None:
    """Print a table and write results/latest.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    table = Table(title="Ratio above 1: in our favour", title_justify="left")
    for column in ("name", "ours", "peer", "peer_name", "unit", "ratio"):
        table.add_column(column, justify="right" if column in {"ours", "peer", "ratio"} else "left")
    for result in results:
        table.add_row(*(f"{v:,.3f}" if isinstance(v, float) else str(v) for v in asdict(result).values()))
    Console().print(table)
