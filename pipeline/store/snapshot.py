"""Read-only queries on a snapshot: analysts never touch the store itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import StoreError
from pipeline.store import queries
from pipeline.store.connection import MEMORY_LIMIT, cancelled_when_interrupted


def open_snapshot(snapshot: Path) -> duckdb.DuckDBPyConnection:
    """A connection to a snapshot: read-only, no files, no network, no settings."""
    try:
        connection = duckdb.connect(
            str(snapshot),
            read_only=True,
            config={"memory_limit": MEMORY_LIMIT, "enable_external_access": False},
        )
        connection.execute("SET enable_progress_bar = false")  # it would stand in logs and between rows
        connection.execute("SET lock_configuration = true")
        return connection
    except duckdb.Error as error:
        raise StoreError(f"snapshot {snapshot} cannot be opened: {error}") from None


class SnapshotReader:
    """Named queries on the snapshot, for what may take long: nobody waits for it, and it can be stopped.

    Used by one thread at a time; `stop` may come from any other, and ends the query that runs.
    """

    def __init__(self, snapshot: Path) -> None:
        self._connection = open_snapshot(snapshot)
        self._lock = threading.Lock()
        self._stopped = False

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of sql/queries/<name>.sql; QueryStoppedError after `stop`."""
        sql = self._checked(name, parameters)
        with self._stoppable():
            return queries.fetch(self._connection, sql, parameters)

    def batches(self, name: str, size: int, **parameters: Any) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow, at most `size` at a time, in bounded memory; an empty batch for none."""
        sql = self._checked(name, parameters)
        with self._stoppable():
            reader = self._connection.execute(sql, parameters).to_arrow_reader(size)
            batch = None
            for batch in reader:
                yield batch
            if batch is None:
                yield pa.RecordBatch.from_pylist([], reader.schema)

    def stop(self) -> None:
        """End the query that runs, and refuse further ones."""
        with self._lock:
            self._stopped = True
            with suppress(duckdb.Error):  # it is closed already
                self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    def _checked(self, name: str, parameters: Mapping[str, Any]) -> str:
        sql = queries.query_text(name)
        queries.check_parameters(name, sql, parameters)
        if self._stopped:
            raise QueryStoppedError("the query was stopped")
        return sql

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        try:
            with cancelled_when_interrupted(self._connection):
                yield
        except duckdb.InterruptException:
            raise QueryStoppedError("the query was stopped") from None
        except duckdb.Error as error:
            raise StoreError(f"query failed: {error}") from None


class QueryStoppedError(StoreError):
    """`SnapshotReader.stop` ended a query."""
