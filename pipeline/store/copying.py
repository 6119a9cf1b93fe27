"""Copy all rows of one attached store into another, whatever the kinds of the two."""

from __future__ import annotations

import duckdb


def copy_tables(
    connection: duckdb.DuckDBPyConnection, source: str, target: str, *, without: frozenset[str] = frozenset()
) -> dict[str, int]:
    """Copy every table of the attached `source` into those of `target`, which has them, empty.

    Returns the rows per table. Rows are written in order of experiment and round. `store_info` and the tables
    in `without` are left as they are.
    """
    copied = {}
    for table, columns in _columns(connection, source).items():
        if table == "store_info" or table in without:
            continue
        order = [name for name in ("experiment", "round", "stage", "shard") if name in columns]
        sorted_by = f" ORDER BY {', '.join(order)}" if order else ""
        rows = connection.execute(
            f"INSERT INTO {target}.{table} BY NAME SELECT * FROM {source}.{table}{sorted_by}"
        ).fetchone()
        copied[table] = int(rows[0]) if rows else 0
    return copied


def _columns(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, list[str]]:
    """Tables and their columns."""
    rows = connection.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE database_name = ? "
        "AND table_name IN (SELECT table_name FROM duckdb_tables() WHERE database_name = ?) "
        "GROUP BY table_name ORDER BY table_name",
        [database, database],
    ).fetchall()
    return dict(rows)
