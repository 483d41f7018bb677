"""One program per data folder: a lock on a file in it, which ends with the process however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DataFolderInUse(Exception):
    """Another process of the program works on this data folder."""


@contextmanager
def data_folder_lock(data_dir: Path, program: str) -> Iterator[None]:
    """Hold the folder, made if missing, for the length of the block. Raises DataFolderInUse."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / f"{program}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(
                f"Another {program} is running on {data_dir}. Stop it, or give this one a data_dir of its own."
            ) from None
        yield
    finally:
        os.close(descriptor)
