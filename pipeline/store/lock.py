"""The lock file of a store: one process writes, or several read, never both.

DuckDB gives a file to one read-write process or to many read-only ones and fails for anything else. An
`flock` on `PATH.lock` around open and close makes processes queue instead; the measured alternative, retrying
on the error, is half as fast with ten times the latency.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.connection import PROCESS_LOCK

LOCK_TIMEOUT_S = 300.0


@contextmanager
def file_lock(path: Path, *, write: bool, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold `PATH.lock`, exclusively to write or shared to read; StoreError after `timeout_s` seconds."""
    lock_path = path.with_name(path.name + ".lock")
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with PROCESS_LOCK:
        descriptor = _open(lock_path, write)
        try:
            _acquire(descriptor, lock_path, write, timeout_s)
            if write:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _open(lock_path: Path, write: bool) -> int:
    try:
        return os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        if write or not lock_path.exists():
            raise
        return os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)  # a store on a read-only disk can be read


def _acquire(descriptor: int, lock_path: Path, write: bool, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                writer = os.pread(descriptor, 200, 0).decode(errors="replace") or "unknown"
                raise StoreError(
                    f"store lock {lock_path} was not free within {timeout_s:g} s (last writer: {writer}); "
                    "a stage holds it for seconds only: look whether that process is stopped, then run again"
                ) from None
            time.sleep(random.uniform(0.002, 0.01))
