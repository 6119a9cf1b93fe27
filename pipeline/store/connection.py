"""Short connections to the store: attach, do, detach.

Starting DuckDB costs ten times what attaching a file to it does (40 ms against 4 ms on a busy core), and a
stage looks into the store dozens of times. So a process keeps one instance without any file, and attaches the
store for as long as a query or a transaction takes.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from pipeline.errors import StoreError

# Enough for a million rationales; STAR_STORE_MEMORY raises it. More threads need more memory to sort.
MEMORY_LIMIT = os.environ.get("STAR_STORE_MEMORY", "1GB")
THREADS = 2
# A session with a server may be gone after a longer rest.
KEEP_S = 30.0

Attach = Callable[[duckdb.DuckDBPyConnection], None]

# Threads take turns: DuckDB shares what one process has open, and `flock` does not tell its threads apart.
PROCESS_LOCK = threading.RLock()
# A fork waits until no connection is open: a child that inherits an open file corrupts its parent's.
os.register_at_fork(
    before=PROCESS_LOCK.acquire, after_in_parent=PROCESS_LOCK.release, after_in_child=PROCESS_LOCK.release
)

_instance: duckdb.DuckDBPyConnection | None = None
_busy = False
# The name of what stayed attached, and when it was last used.
_kept: tuple[str, float] | None = None


@contextmanager
def attached(
    attach: Attach, scratch: Path, *, keep_as: str | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose default database is what `attach` attached under the name `store`.

    The caller holds what locks that needs, or alone knows of the place. Where queries outgrow memory, they
    spill below the folder `scratch`. With `keep_as` it stays attached for a next use under that name, soon;
    not so after an exception.
    """
    global _busy, _kept
    with PROCESS_LOCK:
        if _busy:
            _discard_instance()  # an interrupt struck between attach and detach: it may still be open
        _busy = True
        kept, _kept = _kept, None
        if kept and (kept[0] != keep_as or time.monotonic() - kept[1] > KEEP_S):
            _detach()
            kept = None
        connection = _open_instance(scratch)
        try:
            with cancelled_when_interrupted(connection):
                if kept is None:
                    attach(connection)
                    connection.execute("USE store")
                yield connection
            if keep_as is not None:
                _kept = (keep_as, time.monotonic())
        finally:
            if _kept is None:
                with cancelled_when_interrupted(connection):
                    _detach()
            _busy = False


@contextmanager
def in_transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One transaction: committed at the end of the block, rolled back on an exception."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # COMMIT itself may have ended the transaction
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(store: object, remedy: str) -> Iterator[None]:
    """Within the block what breaks below the queries (memory, disk, network) leaves as StoreError."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StoreError(
            f"store {store}: {first_line(error)}; give it more than {MEMORY_LIMIT}, for example "
            "with STAR_STORE_MEMORY=4GB"
        ) from None
    except (duckdb.FatalException, duckdb.IOException, duckdb.TransactionException) as error:
        raise StoreError(
            f"store {store}: {first_line(error)}; it is intact up to the last commit: {remedy}, "
            "then run again"
        ) from None


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


def first_line(error: Exception) -> str:
    """The part of a DuckDB message that says what happened."""
    return str(error).partition("\n")[0]


def quoted_path(path: Path) -> str:
    """A path as a literal, for statements that take no bound parameter (ATTACH)."""
    if "?" in str(path.absolute()):
        raise StoreError(f"store {path}: DuckDB reads '?' in a path as options; set another STAR_HOME")
    return quoted(str(path.absolute()))


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _open_instance(scratch: Path) -> duckdb.DuckDBPyConnection:
    global _instance
    if _instance is None:
        _instance = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
        _instance.execute("SET enable_progress_bar = false")
        # Of its own: DuckDB numbers the files it spills to, and processes and hosts share the home.
        # In a folder that exists: DuckDB makes one when it first spills, but not the one above it.
        folder = scratch / f".spill-{socket.gethostname()}-{os.getpid()}"
        _instance.execute("SET temp_directory = $folder", {"folder": str(folder)})
    return _instance


def _detach() -> None:
    if _instance is None:
        return
    try:
        _instance.execute("USE memory")
        _instance.execute("DETACH DATABASE IF EXISTS store")
    except duckdb.Error:
        _discard_instance()  # after a full disk in mid-commit only closing surely lets go of the file


def _discard_instance() -> None:
    global _instance, _kept
    _kept = None
    if _instance is not None:
        _instance.close()
        _instance = None


def _leave_to_parent() -> None:
    """A forked child makes its own instance and never closes the inherited one, whose threads it lacks."""
    global _instance, _kept
    _kept = None
    if _instance is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_instance))
        _instance = None


os.register_at_fork(after_in_child=_leave_to_parent)
