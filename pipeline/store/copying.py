"""Copy all rows of one attached store into another, whatever the kinds of the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import duckdb

from pipeline.errors import StoreError

Copied = Callable[[int, str], None]
"""Told of every portion: its rows, and the table they are of."""

# Rows are copied a shard at a time, in this order: nothing is sorted, and queries skip what they do not name.
_ORDER = ("experiment", "round", "stage", "shard")
# Below this, one statement for the whole table takes less than finding its shards.
_SMALL = 100_000


def unheard(rows: int, table: str) -> None:
    """Tell nobody how far the copy is."""


def copy_tables(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    target: str,
    *,
    without: frozenset[str] = frozenset(),
    copied: Copied = unheard,
) -> dict[str, int]:
    """Copy every table of the attached `source` into those of `target`, which has them, empty.

    Returns the rows per table, those of `store_info` and of the tables in `without` left as they are. Raises
    StoreError where the two do not have equally many rows in the end.
    """
    tables = {}
    for table, columns in _columns(connection, source).items():
        if table == "store_info" or table in without:
            continue
        rows = _count(connection, f"{source}.{table}")
        order = [name for name in _ORDER if name in columns]
        for condition, of_portion in _portions(connection, f"{source}.{table}", order, rows):
            written = connection.execute(
                f"INSERT INTO {target}.{table} BY NAME SELECT * FROM {source}.{table} {condition}", of_portion
            ).fetchone()
            copied(int(written[0]) if written else 0, table)
        tables[table] = _count(connection, f"{target}.{table}")
        if tables[table] != rows:
            raise StoreError(
                f"table {table}: {tables[table]:,} rows were copied of {rows:,}; the source was left as it is"
            )
    return tables


def count_rows(
    connection: duckdb.DuckDBPyConnection, database: str, *, without: frozenset[str] = frozenset()
) -> dict[str, int]:
    """The rows per table of an attached store, for the tables that `copy_tables` copies."""
    tables = _columns(connection, database).keys() - without - {"store_info"}
    return {table: _count(connection, f"{database}.{table}") for table in sorted(tables)}


def _portions(
    connection: duckdb.DuckDBPyConnection, table: str, order: list[str], rows: int
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Conditions that take every row of a table once, with their parameters."""
    if not order or rows <= _SMALL:
        yield f"ORDER BY {', '.join(order)}" if order else "", {}
        return
    shards = connection.execute(f"SELECT DISTINCT {', '.join(order)} FROM {table} ORDER BY ALL").fetchall()
    condition = " AND ".join(f"{name} = ${name}" for name in order)
    for shard in shards:
        yield f"WHERE {condition}", dict(zip(order, shard, strict=True))


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _columns(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, list[str]]:
    """Tables and their columns."""
    rows = connection.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE database_name = ? "
        "AND table_name IN (SELECT table_name FROM duckdb_tables() WHERE database_name = ?) "
        "GROUP BY table_name ORDER BY table_name",
        [database, database],
    ).fetchall()
    return dict(rows)
