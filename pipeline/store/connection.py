"""Short connections to the store: attach under the lock, do, detach.

Starting DuckDB costs ten times what attaching a file to it does (40 ms against 4 ms on a busy core), and a
stage looks into the store dozens of times. So a process keeps one instance without any file, and attaches the
store for as long as a query or a transaction takes.
"""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.errors import StoreError
from pipeline.store.lock import file_lock

OPEN_TIMEOUT_S = 60.0
# Enough for a million rationales; STAR_STORE_MEMORY raises it. More threads need more memory to sort.
MEMORY_LIMIT = os.environ.get("STAR_STORE_MEMORY", "1GB")
THREADS = 2

_instance: duckdb.DuckDBPyConnection | None = None
_busy = False


@contextmanager
def connect(path: Path, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an existing store under its lock, gone on the way out. Not to be nested.

    Raises StoreError when the file is not DuckDB's, or when a program that bypasses the lock holds it for
    longer than `OPEN_TIMEOUT_S`.
    """
    with file_lock(path, write=write):
        if not path.exists():
            raise StoreError(f"no store at {path}; expected one made by `star run` (is STAR_HOME right?)")
        with attached(path, "READ_WRITE" if write else "READ_ONLY") as connection:
            try:
                yield connection
            except duckdb.OutOfMemoryException as error:
                raise StoreError(
                    f"store {path}: {_first_line(error)}; give it more than {MEMORY_LIMIT}, for example "
                    "with STAR_STORE_MEMORY=4GB"
                ) from None
            except (duckdb.FatalException, duckdb.IOException, duckdb.TransactionException) as error:
                raise StoreError(
                    f"store {path}: {_first_line(error)}; it is intact up to the last commit: "
                    "look for a full disk, then run again"
                ) from None


@contextmanager
def attached(path: Path, option: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose default database is the file, which the caller has locked or alone knows of."""
    global _busy
    if _busy:
        _discard_instance()  # an interrupt struck between attach and detach, so the file may still be open
    _busy = True
    connection = instance(path.parent)
    try:
        with cancelled_when_interrupted(connection):
            _attach(connection, path, option)
            connection.execute("USE store")
            yield connection
    finally:
        with cancelled_when_interrupted(connection):
            _detach(connection)
        _busy = False


@contextmanager
def cancelled_when_interrupted(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Within the block Ctrl-C and SIGTERM end a running query and leave as KeyboardInterrupt.

    DuckDB sees the signal, but leaves as `RuntimeError: Query interrupted`, and its other threads go on with
    the query: closing the connection would wait for them.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        connection.interrupt()
        raise error.__context__ from None
    except KeyboardInterrupt:
        connection.interrupt()
        raise


def instance(scratch: Path) -> duckdb.DuckDBPyConnection:
    """This process's DuckDB without a file; where queries outgrow memory, it spills below `scratch`."""
    global _instance
    if _instance is None:
        _instance = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
        _instance.execute("SET enable_progress_bar = false")
        _instance.execute("SET temp_directory = $folder", {"folder": str(scratch / "tmp" / "duckdb")})
    return _instance


def attach_statement(path: Path, name: str, option: str) -> str:
    """ATTACH takes no bound parameter: the path is quoted; `name` and `option` are the caller's own words."""
    if "?" in str(path.absolute()):
        raise StoreError(f"store {path}: DuckDB reads '?' in a path as options; set another STAR_HOME")
    quoted = str(path.absolute()).replace("'", "''")
    return f"ATTACH '{quoted}' AS {name} ({option})"


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, option: str) -> None:
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            connection.execute(attach_statement(path, "store", option))
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


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("USE memory")
        connection.execute("DETACH DATABASE IF EXISTS store")
    except duckdb.Error:
        _discard_instance()  # after a full disk in mid-commit only closing surely lets go of the file


def _discard_instance() -> None:
    global _instance
    if _instance is not None:
        _instance.close()
        _instance = None


def _leave_to_parent() -> None:
    """A forked child makes its own instance and never closes the inherited one, whose threads it lacks."""
    global _instance
    if _instance is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_instance))
        _instance = None


os.register_at_fork(after_in_child=_leave_to_parent)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _explain(path: Path, error: duckdb.IOException) -> str:
    if "not a valid DuckDB" in str(error):
        return f"{path} is not a store of this project (not a DuckDB file); move it or set another STAR_HOME"
    return (
        f"store {path} cannot be opened: {error} "
        f"(this is DuckDB {duckdb.__version__}; a file made by a later DuckDB needs that version)"
    )
