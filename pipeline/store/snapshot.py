"""A copy of the store for analysts, who never touch the live file."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.connection import connect
from pipeline.store.lock import file_lock

SMALL_BYTES = 256 << 20
STALE_AFTER_S = 300.0


def take_snapshot(store: Path, target: Path, max_age_s: float = 0.0) -> Path:
    """Copy the store to `target` unless the copy there is current or younger than `max_age_s` seconds.

    The copy is made by another process: opening and closing the file here by a second descriptor would drop
    DuckDB's lock on it. A crash's write-ahead log is merged first, since the copy takes the main file only.
    """
    log = store.with_name(store.name + ".wal")
    while not _is_fresh(store, target, max_age_s):
        if log.exists():
            with connect(store, write=True) as connection:
                connection.execute("CHECKPOINT")
        with file_lock(store, write=False):
            if not log.exists():
                _copy(store, target)
                break
    return target


def _copy(store: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.tmp{os.getpid()}")
    try:
        subprocess.run(["cp", "--", str(store), str(temporary)], check=True, capture_output=True, text=True)
        os.replace(temporary, target)
    except subprocess.CalledProcessError as error:
        raise StoreError(f"snapshot {target} could not be written: {error.stderr.strip()}") from None
    finally:
        temporary.unlink(missing_ok=True)


def refresh_age(store: Path) -> float:
    """Seconds a snapshot may lag when an analyst asks: none for a small store, minutes for a large one."""
    return 0.0 if store.stat().st_size <= SMALL_BYTES else STALE_AFTER_S


def _is_fresh(store: Path, target: Path, max_age_s: float) -> bool:
    if not target.exists():
        return False
    copied = target.stat().st_mtime
    if time.time() - copied < max_age_s:
        return True
    return copied > store.stat().st_mtime and not store.with_name(store.name + ".wal").exists()
