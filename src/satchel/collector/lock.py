"""One collector per data folder: a lock on a file in it, which ends with the process however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_FILE = "collector.lock"


class DataFolderInUse(Exception):
    """Another collector works on this data folder."""


@contextmanager
def data_folder_lock(data_dir: Path) -> Iterator[None]:
    """Hold the folder, made if missing, for the length of the block. Raises DataFolderInUse."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Another collector is running on {data_dir}. Stop it, or give this one a data_dir of its own."
            raise DataFolderInUse(message) from None
        yield
    finally:
        os.close(descriptor)
