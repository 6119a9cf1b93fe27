"""A GPU for each task of a machine that has several: the first that no other task there has."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.paths import Home

_LOOK_S = 1.0


@contextmanager
def free_devices(
    home: Home, devices: Sequence[str], *, first: int, say: Callable[[str], None]
) -> Iterator[str | None]:
    """One of `devices` (`2`, or `0,1` for an engine on two GPUs) that is ours while the block lasts.

    Looked at from number `first` on, so that shard 2 takes GPU 2 where it is free; waited for where none is.
    None where the site names no devices. A lock file of this host in the home holds them, and lets go with
    the process, whatever ended it.
    """
    if not devices:
        yield None
        return
    folder = home.root / "gpus" / socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True)
    start = first % len(devices)
    order = [*devices[start:], *devices[:start]]
    told = False
    while (taken := _take_one(folder, order)) is None:
        if not told:
            say(f"waiting for a GPU: all of {', '.join(devices)} are taken by other tasks of this machine")
            told = True
        time.sleep(_LOOK_S)
    name, descriptor = taken
    try:
        yield name
    finally:
        os.close(descriptor)


def _take_one(folder: Path, names: Sequence[str]) -> tuple[str, int] | None:
    for name in names:
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return name, descriptor
    return None
