"""The store in one DuckDB file, for the processes of one machine: they take turns by a lock file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.errors import StoreError
from pipeline.store.backend import SMALL_BYTES, STALE_AFTER_S, Compacted, Fill
from pipeline.store.connection import Attach, attached, explained, quoted_path
from pipeline.store.copying import Copied, copy_tables
from pipeline.store.lock import file_lock
from pipeline.store.migrations import upgrade

OPEN_TIMEOUT_S = 60.0
_REMEDY = "look for a full disk"
_COMPACT = "compact"
# A checkpoint writes adjacent row groups anew where together they fill fewer: with DuckDB's 122,880 rows each
# shard of 25,000 long texts had four times as many written again. The file does not keep the number, so it is
# said with every ATTACH that writes.
_ROW_GROUPS = "ROW_GROUP_SIZE 8192"
_WRITE = f"READ_WRITE, {_ROW_GROUPS}"
# With the default storage version, compressed text is silently stored uncompressed.
_CREATE = f"STORAGE_VERSION 'v1.5.0', {_ROW_GROUPS}"


class PlainFile:
    """A store in the DuckDB file `path` (see Backend). Its lock is `path.lock`."""

    dialect = "plain"

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

    def create(self, fill: Fill) -> None:
        """See Backend.create. StoreError where the write-ahead log of a file that is gone was left."""
        with file_lock(self.path, write=True):
            if self.path.exists():
                return
            if (log := _log_of(self.path)).exists():
                raise StoreError(
                    f"{self.path} is gone, but its write-ahead log {log} is there, with which a new file "
                    "could not be opened: put the two together again, or move the log away as well"
                )
            self.write_anew(fill, "new")

    @contextmanager
    def connect(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """See Backend.connect; several may read at a time.

        Raises StoreError when the file is not DuckDB's, or when a program that bypasses the lock holds it for
        longer than `OPEN_TIMEOUT_S`.
        """
        with file_lock(self.path, write=write):
            if not self.path.exists():
                raise StoreError(
                    f"no store at {self.path}; expected one made by `star run` (is STAR_HOME right?)"
                )
            with (
                attached(_attach(self.path, _WRITE if write else "READ_ONLY"), self.path.parent) as it,
                explained(self, _REMEDY),
            ):
                yield it

    def snapshot(self, target: Path, max_age_s: float) -> None:
        """See Backend.snapshot: a copy of the file.

        Another process copies: opening and closing the file here by a second descriptor would drop DuckDB's
        lock on it. A crash's write-ahead log is merged first, since the copy takes the main file only.
        """
        log = _log_of(self.path)
        while not self._is_fresh(target, max_age_s):
            if log.exists():
                with self.connect(write=True) as connection:
                    connection.execute("CHECKPOINT")
            with file_lock(self.path, write=False):
                if not log.exists():
                    _copy(self.path, target)
                    break

    def snapshot_age(self, target: Path) -> float:
        return 0.0 if self.path.stat().st_size <= SMALL_BYTES else STALE_AFTER_S

    def compact(self, copied: Copied) -> Compacted:
        """See Backend.compact: everyone else waits meanwhile, and there must be as much free disk as rows.

        Rows are written in order of experiment and round, so that queries which name them skip the rest.
        """

        def fill(connection: duckdb.DuckDBPyConnection) -> None:
            upgrade(connection, self)
            self.attach(connection, "old")
            try:
                copy_tables(connection, "old", "store", copied=copied)
            finally:
                connection.execute("DETACH old")

        with self.still():
            for left in self.path.parent.glob(f"{self.path.name}.{_COMPACT}*"):
                left.unlink()  # of one that was killed: we hold the lock, so nobody writes it
            before, free = self.path.stat().st_size, shutil.disk_usage(self.path.parent).free
            if free < before:
                raise StoreError(
                    f"compacting {self} may need {before >> 20:,} MiB beside it, and {free >> 20:,} MiB are "
                    f"free on {self.path.parent}; free some, then run again"
                )
            self.write_anew(fill, _COMPACT)
            return Compacted(before, self.path.stat().st_size)

    @contextmanager
    def still(self) -> Iterator[None]:
        """See Backend.still: nobody else has the file, and what a crash left in its log is in it.

        A log that stayed beside a file written anew would make that file unreadable.
        """
        with file_lock(self.path, write=True):
            with attached(_attach(self.path, _WRITE), self.path.parent) as it, explained(self, _REMEDY):
                it.execute("CHECKPOINT")
            yield

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        connection.execute(f"ATTACH {quoted_path(self.path)} AS {name} (READ_ONLY)")

    def write_anew(self, fill: Fill, suffix: str) -> None:
        """Replace the file by one that `fill` fills. The caller holds the lock.

        StoreError where the new file would not hold every row, as with a full disk; the old one stays then.
        """
        # Made aside and renamed: a kill leaves no half-made store that looks like another's file.
        fresh = self.path.with_name(f"{self.path.name}.{suffix}{os.getpid()}")
        log = _log_of(fresh)
        fresh.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        try:
            with (
                attached(_attach(fresh, _CREATE), self.path.parent) as connection,
                explained(self, _REMEDY),
            ):
                fill(connection)
                connection.execute("CHECKPOINT")  # to detach does so too, but an error of that is not told
            if log.exists():
                raise StoreError(
                    f"store {self}: the file that was to replace it still has rows in {log.name}; it was "
                    f"left as it was: {_REMEDY}, then run again"
                )
            os.replace(fresh, self.path)
        finally:
            fresh.unlink(missing_ok=True)
            log.unlink(missing_ok=True)

    def _is_fresh(self, target: Path, max_age_s: float) -> bool:
        if not target.exists():
            return False
        copied = target.stat().st_mtime
        if time.time() - copied < max_age_s:
            return True
        written = self.path.stat().st_mtime
        return copied > written and not _log_of(self.path).exists()


def _log_of(path: Path) -> Path:
    """DuckDB's write-ahead log of a file: rows that a crash, or a full disk, kept out of it."""
    return path.with_name(f"{path.name}.wal")


def _attach(path: Path, option: str) -> Attach:
    def attach(connection: duckdb.DuckDBPyConnection) -> None:
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while True:
            try:
                connection.execute(f"ATTACH {quoted_path(path)} AS store ({option})")
                return
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise StoreError(_explain(path, error)) from None
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"store {path} is held by another program: {error}; close that connection "
                        "(analysts read the snapshot, `star sql`), then run again"
                    ) from None
                time.sleep(random.uniform(0.05, 0.25))

    return attach


def _copy(path: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.tmp{os.getpid()}")
    try:
        subprocess.run(["cp", "--", str(path), str(temporary)], check=True, capture_output=True, text=True)
        os.replace(temporary, target)
    except subprocess.CalledProcessError as error:
        raise StoreError(f"snapshot {target} could not be written: {error.stderr.strip()}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _explain(path: Path, error: duckdb.IOException) -> str:
    if "not a valid DuckDB" in str(error):
        return f"{path} is not a store of this project (not a DuckDB file); move it or set another STAR_HOME"
    return (
        f"store {path} cannot be opened: {error} "
        f"(this is DuckDB {duckdb.__version__}; a file made by a later DuckDB needs that version)"
    )
