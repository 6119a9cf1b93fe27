"""All rows of one experiment: written to Parquet files, removed from the store, and loaded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.errors import StoreError
from pipeline.paths import sync
from pipeline.store.commits import ShardFile, literal_path, load_prompts
from pipeline.store.tables import sha256_of

_PARQUET = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192"
# Nobody's, and of this moment.
_NOT_ROWS = ("leases",)
_ROWS = "SELECT * FROM {table} WHERE experiment = $experiment"


@dataclass(frozen=True, slots=True)
class TableFile:
    """The rows of one table as a Parquet file; `fingerprint` is of their values, in whatever order."""

    table: str
    path: Path
    sha256: str
    rows: int
    fingerprint: int


def tables_of_experiments(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the tables whose rows say of which experiment they are."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_columns() WHERE database_name = current_database() "
        "AND column_name = 'experiment' AND table_name IN "
        "(SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()) "
        "ORDER BY table_name"
    ).fetchall()
    return [str(name) for (name,) in found if name not in _NOT_ROWS]


def write_table(connection: duckdb.DuckDBPyConnection, table: str, experiment: str, path: Path) -> TableFile:
    """Write the experiment's rows of a table, and read them back. StoreError where the two differ."""
    return _written(connection, table, _ROWS.format(table=table), {"experiment": experiment}, path)


def changed_tables(
    connection: duckdb.DuckDBPyConnection, experiment: str, written: Sequence[TableFile]
) -> list[str]:
    """Which tables do not hold the rows any more that `write_table` found there."""
    now = {}
    for table in tables_of_experiments(connection):
        columns, rows = _columns(connection, table), f"({_ROWS.format(table=table)})"
        now[table] = _fingerprint(connection, columns, rows, {"experiment": experiment})
    then = {file.table: (file.rows, file.fingerprint) for file in written}
    return [table for table, found in now.items() if found != then.get(table)]


def write_prompts(
    connection: duckdb.DuckDBPyConnection, experiment: str, shard_files: Sequence[Path], path: Path
) -> TableFile:
    """As `write_table`, of the prompts that the experiment's rows cite or its shard files brought."""
    rows = (
        "SELECT * FROM prompts WHERE prompt_hash IN "
        "(SELECT prompt_hash FROM cited_prompts WHERE experiment = $experiment)"
    )
    parameters: dict[str, object] = {"experiment": experiment}
    if shard_files:
        rows += " OR prompt_hash IN (SELECT prompt_hash FROM read_parquet($files))"
        parameters["files"] = [literal_path(file) for file in shard_files]
    return _written(connection, "prompts", rows, parameters, path)


def remove(connection: duckdb.DuckDBPyConnection, experiment: str) -> None:
    """Delete the experiment's rows of every table, and the prompts that nothing else cites."""
    connection.execute(
        "DELETE FROM prompts "
        "WHERE prompt_hash IN (SELECT prompt_hash FROM cited_prompts WHERE experiment = $experiment) "
        "AND prompt_hash NOT IN (SELECT prompt_hash FROM cited_prompts WHERE experiment <> $experiment)",
        {"experiment": experiment},
    )
    for table in tables_of_experiments(connection):
        connection.execute(f"DELETE FROM {table} WHERE experiment = $experiment", {"experiment": experiment})


def restore(
    connection: duckdb.DuckDBPyConnection,
    experiment: str,
    files: Sequence[ShardFile],
    moved: Mapping[str, str],
) -> None:
    """Load what `write_table` and `write_prompts` wrote. StoreError where the store has it already.

    `moved`: for the shard files that do not lie where they lay, the old path and the new.
    """
    known = connection.execute(
        "SELECT 1 FROM experiments WHERE experiment = $experiment", {"experiment": experiment}
    ).fetchone()
    if known:
        raise StoreError(f"experiment {experiment!r} is in the store; archive or rename that one first")
    tables = tables_of_experiments(connection)
    for file in files:
        if file.table == "prompts":
            load_prompts(connection, file.path)
            continue
        if file.table not in tables:
            raise StoreError(f"{file.path}: {file.table!r} is no table of experiments: {', '.join(tables)}")
        loaded = connection.execute(
            f"INSERT INTO {file.table} BY NAME "
            "SELECT * FROM read_parquet($path, hive_partitioning = false) WHERE experiment = $experiment",
            {"path": literal_path(file.path), "experiment": experiment},
        ).fetchone()
        if loaded != (file.rows,):
            raise StoreError(
                f"{file.path}: {loaded[0] if loaded else 0:,} of its {file.rows:,} rows are of {experiment!r}"
            )

    for old, new in moved.items():
        connection.execute(
            "UPDATE commits SET path = $new WHERE experiment = $experiment AND path = $old",
            {"experiment": experiment, "old": old, "new": new},
        )


def _written(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: str,
    parameters: dict[str, object],
    path: Path,
) -> TableFile:
    connection.execute(f"COPY ({rows}) TO $path ({_PARQUET})", {**parameters, "path": str(path)})
    sync(path)
    names = _columns(connection, table)
    asked = _fingerprint(connection, names, f"({rows})", parameters)
    source = "read_parquet($path, hive_partitioning = false)"
    found = _fingerprint(connection, names, source, {"path": literal_path(path)})
    if asked != found:
        raise StoreError(
            f"{path} does not hold the {asked[0]:,} rows of {table} that were written to it (read back: "
            f"{found[0]:,} rows); nothing was removed: look whether the disk fails, then run again"
        )
    return TableFile(table, path, sha256_of(path), *asked)


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]


def _fingerprint(
    connection: duckdb.DuckDBPyConnection, columns: list[str], source: str, parameters: dict[str, object]
) -> tuple[int, int]:
    """How many rows there are, and a sum over all their values that does not depend on their order."""
    row = connection.execute(
        f"SELECT count(*), coalesce(sum(CAST(hash({', '.join(columns)}) AS HUGEINT)), 0) FROM {source}",
        parameters,
    ).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0]), int(row[1])
