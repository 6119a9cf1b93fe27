"""Keeping a store healthy: give space back, compare it with its shard files, build it anew, move it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import StoreError
from pipeline.paths import Home
from pipeline.store import journal, lease, migrations, operations, queries
from pipeline.store.backend import Backend, Compacted
from pipeline.store.checks import Offence
from pipeline.store.commits import literal_path
from pipeline.store.connection import quoted_path
from pipeline.store.copying import copy_tables
from pipeline.store.lock import file_lock
from pipeline.store.plain import PlainFile
from pipeline.store.store import Store
from pipeline.store.tables import schema_of, sha256_of


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did: operations repeated, and a sentence for each one that could not be."""

    operations: int = 0
    left_out: list[str] = field(default_factory=list)


def compact(store: Store) -> Compacted:
    """Give back the space that replaced rows left (see the backends' own); the rows that count stay."""
    store.migrate()
    return store.backend.compact()


def deep_check(store: Store, experiment: str) -> list[Offence]:
    """Compare every committed shard file with what was recorded of it, and its rows with those in the store.

    Offences: `shard_file_missing`, `shard_file_changed` (another SHA-256), `rows_differ_from_file`.
    """
    offences: list[Offence] = []
    for commit in store.rows("committed_files", experiment=experiment):
        path = store.home.absolute(commit["path"])
        if not path.is_file():
            offences.append(Offence("shard_file_missing", commit))
        elif sha256_of(path) != commit["sha256"]:
            offences.append(Offence("shard_file_changed", commit))
        else:
            with store.reading() as connection:
                lost, extra = _differences(connection, commit, path)
            if lost or extra:
                found = {**commit, "only_in_file": lost, "only_in_store": extra}
                offences.append(Offence("rows_differ_from_file", found))
    return offences


def rebuild(home: Home, target: Path) -> Rebuilt:
    """Build a store in a DuckDB file at `target`, where none is, from the journal and the shard files.

    A commit whose file is gone or was written anew since is left out and named; where it was current, its
    stage is simply not done, and `star run` does it again. Leases are not rebuilt. Raises StoreError where
    there is no journal, or a file at `target`.
    """
    source = home.root / journal.NAME
    if not source.is_file():
        raise StoreError(f"no journal at {source}: there is nothing to rebuild from")
    if target.exists():
        raise StoreError(f"{target} exists; move it away first, it is not overwritten")
    rebuilt, plain = Rebuilt(), PlainFile(target)

    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        migrations.upgrade(connection, plain)
        for entry in journal.entries(source):
            _repeat(connection, home, entry, rebuilt)

    plain.create(fill)
    return rebuilt


def move(home: Home, target: Backend) -> dict[str, int]:
    """Copy the store in the home's DuckDB file to an empty `target`, all or nothing; the rows per table.

    The file is kept as `star.duckdb.moved`. Raises StoreError where there is no such file or where `target`
    holds experiments, LeaseHeldError while an experiment runs.
    """
    source = PlainFile(home.store_path)
    if not source.exists():
        raise StoreError(f"no store at {source}: there is nothing to move")
    migrations.migrate(source)
    migrations.migrate(target)
    with source.connect(write=True) as connection:
        connection.execute("CHECKPOINT")  # what a crash left in the log
    with file_lock(source.path, write=True), target.connect(write=True) as connection:
        if connection.execute("SELECT count(*) FROM experiments").fetchone() != (0,):
            raise StoreError(f"store {target} holds experiments; a store is moved to an empty one")
        connection.execute(f"ATTACH {quoted_path(source.path)} AS moved (READ_ONLY)")
        try:
            for row in queries.fetch(connection, "SELECT * FROM moved.leases", {}):
                lease.refuse_living(row)
            connection.execute("BEGIN")
            copied = copy_tables(connection, "moved", "store", without=frozenset({"leases"}))
            connection.execute("COMMIT")
        finally:
            connection.execute("DETACH moved")
        source.path.rename(source.path.with_name(f"{source.path.name}.moved"))
    return copied


def _repeat(
    connection: duckdb.DuckDBPyConnection, home: Home, entry: Mapping[str, Any], rebuilt: Rebuilt
) -> None:
    lost = list(_lost_files(home, entry))
    if lost:
        rebuilt.left_out.append(f"{_title(entry)}: {', '.join(lost)}")
        return
    connection.execute("BEGIN")
    try:
        operations.perform(connection, home, entry)
    except StoreError as error:
        connection.execute("ROLLBACK")
        rebuilt.left_out.append(f"{_title(entry)}: {error}")
        return
    connection.execute("COMMIT")
    rebuilt.operations += 1


def _lost_files(home: Home, entry: Mapping[str, Any]) -> Iterator[str]:
    if entry["do"] != "commit":
        return
    for file in operations.shard_files(home, entry):
        if not file.path.is_file():
            yield f"{file.stored_path} is gone"
        elif sha256_of(file.path) != file.sha256:
            yield f"{file.stored_path} has other content now"


def _title(entry: Mapping[str, Any]) -> str:
    names = ("experiment", "round", "stage", "shard", "source", "target")
    return " ".join([entry["do"], *(f"{name} {entry[name]}" for name in names if name in entry)])


def _differences(
    connection: duckdb.DuckDBPyConnection, commit: Mapping[str, Any], path: Path
) -> tuple[int, int]:
    """How many rows only the file has, and how many only the store."""
    table = commit["table_name"]
    # A fork's checkpoints lie in its own folder, so their path is not the file's.
    columns = ", ".join(name for name in schema_of(table).names if (table, name) != ("checkpoints", "path"))
    file = "read_parquet($path, hive_partitioning = false)"
    parameters: dict[str, Any] = {"path": literal_path(path)}
    if table == "prompts":
        missing = f"SELECT {columns} FROM {file} EXCEPT SELECT {columns} FROM prompts"
        return _count(connection, missing, parameters), 0
    owned = {**{name: commit[name] for name in ("experiment", "stage", "shard")}, "superseded": False}
    replaced = ", ".join(f"${name} AS {name}" for name in owned)
    in_file = f"SELECT {columns} FROM (SELECT * REPLACE ({replaced}) FROM {file})"
    in_store = (
        f"SELECT {columns} FROM {table} WHERE experiment = $experiment AND round = $round "
        "AND stage = $stage AND shard = $shard AND superseded = $superseded"
    )
    parameters |= {**owned, "round": commit["round"]}
    lost = _count(connection, f"{in_file} EXCEPT ALL {in_store}", parameters)
    return lost, _count(connection, f"{in_store} EXCEPT ALL {in_file}", parameters)


def _count(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> int:
    used = {name: value for name, value in parameters.items() if f"${name}" in query}
    row = connection.execute(f"SELECT count(*) FROM ({query})", used).fetchone()
    return int(row[0]) if row else 0
