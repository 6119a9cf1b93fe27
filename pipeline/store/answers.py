"""Read-only queries on a snapshot, their rows read as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from pipeline.errors import DataError, StoreError
from pipeline.store.connection import cancelled_when_interrupted, explained
from pipeline.store.snapshot import open_snapshot

_BATCH = 2048
# What `explained` tells; all else that DuckDB refuses is the query's own fault.
_BEYOND_THE_QUERY = (
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.IOException,
    duckdb.TransactionException,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a query while it is open: its columns, and its rows as they are read."""

    columns: list[str]
    _cursor: duckdb.DuckDBPyConnection

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, a batch at a time in memory."""
        while batch := self._cursor.fetchmany(_BATCH):
            yield from batch

    def write_parquet(self, path: Path, limit: int | None = None) -> int:
        """Write the rows, at most `limit`, to a file, all or nothing; returns their number."""
        temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
        rows = 0
        try:
            reader = self._cursor.to_arrow_reader(_BATCH)
            with reader, pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer:
                for batch in reader:
                    left = batch if limit is None else batch.slice(0, limit - rows)
                    writer.write_batch(left)
                    rows += left.num_rows
                    if rows == limit:
                        break
            os.replace(temporary, path)
        except OSError as error:
            raise StoreError(f"{path} could not be written: {error}") from None
        finally:
            temporary.unlink(missing_ok=True)
        return rows


@contextmanager
def answer(snapshot: Path, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[Answer]:
    """A query on the snapshot, its rows to be read within the block.

    Read-only, no files, no network, no settings: DataError for what asks for more, or is not SQL. StoreError
    where memory, disk or the snapshot itself fails.
    """
    with (
        closing(open_snapshot(snapshot)) as connection,
        explained(snapshot, "look for a full disk"),
        cancelled_when_interrupted(connection),
    ):
        try:
            given = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
            cursor = connection.execute(sql, given)
            yield Answer([column[0] for column in cursor.description or []], cursor)
        except _BEYOND_THE_QUERY:
            raise
        except duckdb.Error as error:
            raise DataError(
                f"query failed: {error}\nIt reads a read-only copy of the store, which has: "
                f"{', '.join(_tables(connection))}"
            ) from None


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the tables and views that a query can read."""
    shown = "SELECT table_name FROM information_schema.tables ORDER BY table_name"
    return [str(name) for (name,) in connection.execute(shown).fetchall()]
