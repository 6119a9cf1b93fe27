"""Keeping a store healthy: give space back, compare it with its shard files, build it anew, move it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import StoreError
from pipeline.paths import Home
from pipeline.progress import Progress
from pipeline.store import journal, lease, migrations, operations, queries
from pipeline.store.backend import Backend, Compacted
from pipeline.store.checks import Offence
from pipeline.store.commits import literal_path
from pipeline.store.connection import in_transaction
from pipeline.store.copying import copy_tables, count_rows
from pipeline.store.plain import PlainFile
from pipeline.store.store import Store
from pipeline.store.tables import schema_of, sha256_of

DEEP_CHECKS = ("shard_file_missing", "shard_file_changed", "rows_differ_from_file")
"""Offences of `deep_check`: a committed file is gone, has another SHA-256, or other rows than the store."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did: operations repeated, and a sentence for each one that could not be.

    `left_out` is what the store should hold and does not; `replaced` would be superseded by now anyway.
    """

    operations: int = 0
    left_out: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


_NOT_MOVED = frozenset({"leases"})


def compact(store: Store, progress: Progress) -> Compacted:
    """Give back the space that replaced rows left (see the backends' own); the rows that count stay.

    LeaseHeldError while an experiment runs: its stages would have to wait.
    """
    with store.reading() as connection:
        for row in queries.fetch(connection, queries.query_text("leases"), {}):
            lease.refuse_living(row)
        rows = sum(count_rows(connection, "store").values())
    with progress.task("compact", rows, "rows") as task:
        return store.backend.compact(task.advance)


def deep_check(store: Store, experiment: str, round_: int | None, progress: Progress) -> list[Offence]:
    """Compare the shard files of an experiment, or of one round, with commits and rows (DEEP_CHECKS)."""
    commits = [
        row
        for row in store.rows("committed_files", experiment=experiment)
        if round_ is None or row["round"] == round_
    ]
    with progress.task(f"shard files of {experiment}", len(commits), "files") as task:
        offences: list[Offence] = []
        for commit in commits:
            offences += _deep_check_file(store, commit)
            task.advance(1, commit["path"])
    return offences


def _deep_check_file(store: Store, commit: Mapping[str, Any]) -> Iterator[Offence]:
    path = store.home.absolute(commit["path"])
    if not path.is_file():
        yield Offence("shard_file_missing", dict(commit))
    elif sha256_of(path) != commit["sha256"]:
        yield Offence("shard_file_changed", dict(commit))
    else:
        with store.reading() as connection:
            lost, extra = _differences(connection, commit, path)
        if lost or extra:
            found = {**commit, "only_in_file": lost, "only_in_store": extra}
            yield Offence("rows_differ_from_file", found)


def rebuild(home: Home, target: Path, progress: Progress) -> Rebuilt:
    """Build a store in a DuckDB file at `target`, where none is, from the journal and the shard files.

    A commit whose file is gone or was written anew since (`--force`) is left out and named; where it was
    current, its stage is simply not done, and `star run` does it again. What was archived since is passed
    over. Leases are not rebuilt. Raises StoreError where there is no journal, or a file or the log of one at
    `target`. Killed in the middle, it leaves nothing at `target`.
    """
    source = home.root / journal.NAME
    if not source.is_file():
        raise StoreError(f"no journal at {source}: there is nothing to rebuild from")
    if target.exists():
        raise StoreError(f"{target} exists; move it away first, it is not overwritten")
    rebuilt, plain = Rebuilt(), PlainFile(target)
    beginnings = journal.beginnings(source)
    total = sum(1 for _ in journal.entries(source))

    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        migrations.upgrade(connection, plain)
        with progress.task("rebuild", total, "operations") as task:
            for place, entry in enumerate(journal.entries(source)):
                if place >= beginnings.get(journal.experiment_of(entry) or "", 0):
                    _repeat(connection, home, entry, rebuilt)
                task.advance(1, _title(entry))

    plain.create(fill)
    return rebuilt


def move(source: Backend, target: Backend, progress: Progress) -> dict[str, int]:
    """Copy a store to an empty one of another kind, all or nothing; the rows per table, equal in both.

    A lake is left as it is; a file is too, but under the name `star.duckdb.moved` (`.moved-2` where that is
    taken), since a home without a store URL would go on with it. Killed before that, the same call does the
    rest: nothing is copied where both have equally many rows in every table. Raises StoreError where there is
    nothing at `source` or where `target` holds other experiments, LeaseHeldError while one runs.
    """
    if not source.exists():
        raise StoreError(f"no store at {source}: there is nothing to move")
    migrations.migrate(source)
    migrations.migrate(target)
    with source.still(), target.connect(write=True) as connection:
        source.attach(connection, "moved")
        try:
            for row in queries.fetch(connection, "SELECT * FROM moved.leases", {}):
                lease.refuse_living(row)
            rows = count_rows(connection, "moved", without=_NOT_MOVED)
            if rows != count_rows(connection, "store", without=_NOT_MOVED):
                _refuse_full(connection, target)
                with progress.task("migrate", sum(rows.values()), "rows") as task, in_transaction(connection):
                    copy_tables(connection, "moved", "store", without=_NOT_MOVED, copied=task.advance)
        finally:
            connection.execute("DETACH moved")
        if isinstance(source, PlainFile):
            source.path.rename(_free_name(source.path))
    return rows


def _refuse_full(connection: duckdb.DuckDBPyConnection, target: Backend) -> None:
    if connection.execute("SELECT count(*) FROM experiments").fetchone() != (0,):
        raise StoreError(f"store {target} holds experiments; a store is moved to an empty one")


def _free_name(path: Path) -> Path:
    """`star.duckdb.moved`, or with a number where a file of an earlier move has that name."""
    free, number = path.with_name(f"{path.name}.moved"), 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.moved-{number}")
    return free


def _repeat(
    connection: duckdb.DuckDBPyConnection, home: Home, entry: Mapping[str, Any], rebuilt: Rebuilt
) -> None:
    lost = list(_lost_files(home, entry))
    if lost:
        rebuilt.left_out.append(f"{_title(entry)}: {', '.join(lost)}")
        return
    if entry["do"] == "commit":
        _forget_replaced(rebuilt, f"{_title(entry)}: ")
    connection.execute("BEGIN")
    try:
        operations.perform(connection, home, entry)
    except StoreError as error:
        connection.execute("ROLLBACK")
        rebuilt.left_out.append(f"{_title(entry)}: {error}")
        return
    connection.execute("COMMIT")
    rebuilt.operations += 1


def _forget_replaced(rebuilt: Rebuilt, shard: str) -> None:
    """What was left out of a shard counts no longer where the shard is committed again."""
    rebuilt.replaced += [sentence for sentence in rebuilt.left_out if sentence.startswith(shard)]
    rebuilt.left_out = [sentence for sentence in rebuilt.left_out if not sentence.startswith(shard)]


def _lost_files(home: Home, entry: Mapping[str, Any]) -> Iterator[str]:
    if "files" not in entry:
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
