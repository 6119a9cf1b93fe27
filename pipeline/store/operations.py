"""The operations that change a store, as plain entries: done once for the caller, and again to rebuild."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from pipeline.errors import StoreError
from pipeline.identity import canonical_json
from pipeline.paths import Home
from pipeline.store import commits, flags
from pipeline.store.commits import RunSummary, ShardFile, StageKey
from pipeline.store.counts import recount
from pipeline.store.fork import fork
from pipeline.store.whole_experiment import remove, restore

# Small tables that are kept up to date row by row, with the columns that name a row.
PUT_KEYS: Mapping[str, tuple[str, ...]] = {
    "experiments": ("experiment",),
    "rounds": ("experiment", "round"),
}


def perform(connection: duckdb.DuckDBPyConnection, home: Home, entry: Mapping[str, Any]) -> None:
    """Do what an entry says, inside the caller's transaction; times are the entry's, so that it repeats."""
    at = datetime.fromisoformat(entry["at"])
    match entry["do"]:
        case "begin":
            of_begin = _picked(
                entry, "shard", "shards", "input_digest", "host", "device", "versions", "force"
            )
            commits.begin(connection, _key(entry), **of_begin, now=at)
        case "commit":
            of_commit = _picked(entry, "shard", "shards", "input_digest", "output_digest")
            files, summary = shard_files(home, entry), RunSummary(**entry["summary"])
            commits.commit(connection, _key(entry), **of_commit, files=files, summary=summary, now=at)
        case "fail":
            commits.fail(connection, _key(entry), shard=entry["shard"], error=entry["error"], now=at)
        case "put":
            put(connection, entry["table"], entry["row"])
            if entry["table"] == "rounds":
                recount(connection, entry["row"]["experiment"], entry["row"]["round"])
        case "fork":
            of_fork = {name: entry.get(name) for name in ("config", "config_digest")}
            fork(connection, entry["source"], entry["target"], entry["last_round"], **of_fork, now=at)
        case "flag":
            flags.put(connection, entry, at)
        case "withdraw_flag":
            flags.withdraw(connection, entry["flag_id"], entry["author"], at)
        case "remove":
            remove(connection, entry["experiment"])
        case "restore":
            restore(connection, entry["experiment"], shard_files(home, entry), entry.get("moved", {}))
        case other:
            raise StoreError(f"journal operation {other!r} is unknown to this version; upgrade the package")


def shard_files(home: Home, entry: Mapping[str, Any]) -> list[ShardFile]:
    """The files of a commit or restore entry. ConfigError for a path outside the home."""
    return [
        ShardFile(file["table"], home.absolute(file["path"]), file["path"], file["sha256"], file["rows"])
        for file in entry["files"]
    ]


def put(connection: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    """Insert or update one row of a small table; columns that are not named keep their value."""
    if table not in PUT_KEYS:
        raise StoreError(f"rows of {table!r} come with a commit; put takes {', '.join(PUT_KEYS)}")
    key = PUT_KEYS[table]
    columns = _columns(connection, table)
    unknown = sorted(set(row) - set(columns))
    missing = sorted(set(key) - set(row))
    if unknown or missing:
        raise StoreError(
            f"{table}: unknown columns {unknown}, missing key columns {missing}; has {', '.join(columns)}"
        )
    where = " AND ".join(f"{name} = ${name}" for name in key)
    of_row = {name: row[name] for name in key}
    values = _stored(connection, f"SELECT * FROM {table} WHERE {where}", of_row)
    for name, value in row.items():
        values[name] = canonical_json(value) if columns[name] == "JSON" and value is not None else value
    connection.execute(f"DELETE FROM {table} WHERE {where}", of_row)
    placeholders = ", ".join(f"${name}" for name in values)
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({placeholders})", values)


def _key(entry: Mapping[str, Any]) -> StageKey:
    return StageKey(entry["experiment"], entry["round"], entry["stage"])


def _picked(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: entry[name] for name in names}


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    found: Sequence[tuple[str, str]] = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE table_name = ? AND database_name = current_database()",
        [table],
    ).fetchall()
    return dict(found)


def _stored(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    cursor = connection.execute(query, dict(parameters))
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchone() or [None] * len(names), strict=True))
