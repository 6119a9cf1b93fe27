"""What a stage tells the store: it began, its shard is done, it failed. Each is one short transaction.

A stage's shard is committed from its Parquet files. Rows of a run that other inputs replaced are marked
superseded, never erased. An exception around COMMIT means that the outcome is unknown: the same call again is
safe, since a shard whose files are recorded with the same SHA-256 is not loaded twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.identity import canonical_json, combine_digests
from pipeline.paths import Home
from pipeline.store.counts import COUNTED, recount
from pipeline.store.tables import STAGE_TABLES, schema_of, sha256_of

_OF_STAGE = "experiment = $experiment AND round = $round AND stage = $stage"


@dataclass(frozen=True, slots=True)
class StageKey:
    """One stage of one round of an experiment."""

    experiment: str
    round: int
    stage: str

    def __str__(self) -> str:
        return f"{self.stage} of round {self.round} of {self.experiment}"

    def parameters(self) -> dict[str, Any]:
        return {"experiment": self.experiment, "round": self.round, "stage": self.stage}


@dataclass(frozen=True, slots=True)
class StageState:
    """What the store knows of a stage.

    `input_digest` and `shards` are those it was last begun with (None: never). `done` are the shards
    committed under them; `output_digest` is None until all are. `status` is `running` (or killed while it
    was), `failed`, `done` or None.
    """

    input_digest: str | None = None
    shards: int | None = None
    done: frozenset[int] = frozenset()
    output_digest: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What one shard's execution did: `seconds` of wall time, peak memory in MiB, `text` for people.

    `engine_seconds`: of them, those in which a model wrote or was trained, and `engine_tokens` what it then
    wrote or saw; None where no model is at work. `tokens` also counts what an interrupted execution left on
    disk.
    """

    rows_in: int = 0
    rows_out: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: float | None = None
    device: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    engine_seconds: float | None = None
    engine_tokens: int | None = None
    peak_gpu_memory: float | None = None


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A Parquet file to load into `table`; `stored_path` is relative to the home."""

    table: str
    path: Path
    stored_path: str
    sha256: str
    rows: int


def read_state(connection: duckdb.DuckDBPyConnection, key: StageKey) -> StageState:
    """The state of a stage from its executions and commits."""
    latest = connection.execute(
        f"SELECT input_digest, shards FROM stage_runs WHERE {_OF_STAGE} ORDER BY execution DESC LIMIT 1",
        key.parameters(),
    ).fetchone()
    if latest is None:
        return StageState()
    input_digest, shards = latest
    committed = connection.execute(
        f"SELECT DISTINCT shard, output_digest FROM commits WHERE {_OF_STAGE} "
        "AND input_digest = $input_digest AND shards = $shards",
        {**key.parameters(), "input_digest": input_digest, "shards": shards},
    ).fetchall()
    done = frozenset(shard for shard, _ in committed)
    if len(done) == shards:
        return StageState(
            input_digest, shards, done, combine_digests(value for _, value in committed), "done"
        )
    failed = connection.execute(
        "SELECT bool_or(status = 'failed') FROM (SELECT arg_max(status, execution) AS status "
        f"FROM stage_runs WHERE {_OF_STAGE} GROUP BY shard)",
        key.parameters(),
    ).fetchone()
    return StageState(input_digest, shards, done, None, "failed" if failed and failed[0] else "running")


def begin(
    connection: duckdb.DuckDBPyConnection,
    key: StageKey,
    *,
    shard: int,
    shards: int,
    input_digest: str,
    host: str,
    device: str,
    versions: Mapping[str, str],
    force: bool,
    now: datetime,
) -> None:
    """Record that a shard runs (see Store.begin), inside the caller's transaction."""
    state = read_state(connection, key)
    parameters = key.parameters()
    if state.input_digest is not None and (state.input_digest, state.shards) != (input_digest, shards):
        _supersede(connection, parameters, "")
    elif force:
        _supersede(connection, {**parameters, "shard": shard}, "AND shard = $shard")
    _close_run(connection, key, shard, now, "interrupted", "began again before it ended")
    connection.execute(
        "INSERT INTO stage_runs BY NAME SELECT $experiment AS experiment, $round AS round, $stage AS stage, "
        "$shard AS shard, $shards AS shards, 'running' AS status, $input_digest AS input_digest, "
        "$host AS host, $device AS device, $versions AS versions, $now AS started_at, "
        f"(SELECT coalesce(max(execution), 0) + 1 FROM stage_runs WHERE {_OF_STAGE}) AS execution",
        {
            **parameters,
            "shard": shard,
            "shards": shards,
            "input_digest": input_digest,
            "host": host,
            "device": device,
            "versions": canonical_json(dict(versions)),
            "now": now,
        },
    )


def describe_files(home: Home, files: Mapping[str, Path]) -> list[ShardFile]:
    """The files of a shard with hash and row count; StoreError where a schema is not its table's."""
    described = []
    for table, path in sorted(files.items()):
        metadata = pq.read_metadata(path)
        expected = schema_of(table).names
        if metadata.schema.to_arrow_schema().names != expected:
            raise StoreError(
                f"{path} has other columns than {table}; write it with pipeline.store.write_rows"
            )
        described.append(ShardFile(table, path, home.relative(path), sha256_of(path), metadata.num_rows))
    return described


def commit(
    connection: duckdb.DuckDBPyConnection,
    key: StageKey,
    *,
    shard: int,
    shards: int,
    input_digest: str,
    files: Sequence[ShardFile],
    output_digest: str,
    summary: RunSummary,
    now: datetime,
) -> None:
    """Load a shard's files and record them (see Store.commit), inside the caller's transaction."""
    state = read_state(connection, key)
    if (state.input_digest, state.shards) != (input_digest, shards):
        raise StoreError(
            f"{key}, shard {shard}: its commit has inputs {input_digest[:12]} in {shards} shards, "
            f"but it was last begun with {(state.input_digest or 'none')[:12]} in {state.shards or 0}; "
            "another run replaced this one: run the stage again"
        )
    of_shard = {**key.parameters(), "shard": shard}
    loaded = _loaded(connection, of_shard)
    wanted: set[tuple[Any, ...]] = {(file.table, file.sha256, output_digest) for file in files}
    if loaded != (wanted or {(None, None, output_digest)}):
        if loaded:
            _supersede(connection, of_shard, "AND shard = $shard")
        for file in files:
            _load(connection, of_shard, file)
        _record(connection, of_shard, shards, input_digest, files, output_digest, now)
        if COUNTED.intersection(file.table for file in files):
            recount(connection, key.experiment, key.round)
    _close_run(connection, key, shard, now, "done", None, output_digest, summary)


def fail(
    connection: duckdb.DuckDBPyConnection, key: StageKey, *, shard: int, error: str, now: datetime
) -> None:
    """Record that the running execution of a shard failed."""
    _close_run(connection, key, shard, now, "failed", error)


def _supersede(
    connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, Any], shard_clause: str
) -> None:
    for table in STAGE_TABLES:
        connection.execute(
            f"UPDATE {table} SET superseded = true WHERE {_OF_STAGE} {shard_clause} AND NOT superseded",
            parameters,
        )
    connection.execute(f"DELETE FROM commits WHERE {_OF_STAGE} {shard_clause}", parameters)
    recount(connection, parameters["experiment"], parameters["round"])


def _loaded(connection: duckdb.DuckDBPyConnection, of_shard: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    """Table, SHA-256 and output digest of what the shard's last commit loaded."""
    recorded = connection.execute(
        f"SELECT table_name, sha256, output_digest FROM commits WHERE {_OF_STAGE} AND shard = $shard",
        of_shard,
    ).fetchall()
    return set(recorded)


def _load(connection: duckdb.DuckDBPyConnection, of_shard: Mapping[str, Any], file: ShardFile) -> None:
    source = "read_parquet($path, hive_partitioning = false)"
    path = {"path": literal_path(file.path)}
    if file.table == "prompts":
        load_prompts(connection, file.path)
        return
    foreign = connection.execute(
        f"SELECT experiment, round FROM {source} WHERE experiment <> $experiment OR round <> $round LIMIT 1",
        {**path, "experiment": of_shard["experiment"], "round": of_shard["round"]},
    ).fetchone()
    if foreign:
        raise StoreError(
            f"{file.path} holds a row of experiment {foreign[0]!r}, round {foreign[1]}; expected "
            f"{of_shard['experiment']!r}, round {of_shard['round']}: a stage commits rows of its own round"
        )
    connection.execute(
        f"INSERT INTO {file.table} BY NAME "
        f"SELECT * REPLACE ($stage AS stage, $shard AS shard, false AS superseded) FROM {source}",
        {**path, "stage": of_shard["stage"], "shard": of_shard["shard"]},
    )


def load_prompts(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Add the prompts of a Parquet file that the store does not have yet."""
    connection.execute(
        "INSERT INTO prompts BY NAME SELECT DISTINCT ON (prompt_hash) prompt_hash, text "
        "FROM read_parquet($path, hive_partitioning = false) AS new "
        "WHERE NOT EXISTS (SELECT 1 FROM prompts AS old WHERE old.prompt_hash = new.prompt_hash)",
        {"path": literal_path(path)},
    )


def _record(
    connection: duckdb.DuckDBPyConnection,
    of_shard: Mapping[str, Any],
    shards: int,
    input_digest: str,
    files: Sequence[ShardFile],
    output_digest: str,
    now: datetime,
) -> None:
    lines: list[tuple[str | None, str | None, str | None, int]]
    lines = [(file.table, file.stored_path, file.sha256, file.rows) for file in files] or [
        (None, None, None, 0)
    ]
    for table, path, sha256, rows in lines:
        connection.execute(
            "INSERT INTO commits BY NAME SELECT $experiment AS experiment, $round AS round, $stage AS stage, "
            "$shard AS shard, $shards AS shards, $table_name AS table_name, $path AS path, "
            "$sha256 AS sha256, $rows AS rows, $input_digest AS input_digest, "
            "$output_digest AS output_digest, $now AS committed_at",
            {
                **of_shard,
                "shards": shards,
                "table_name": table,
                "path": path,
                "sha256": sha256,
                "rows": rows,
                "input_digest": input_digest,
                "output_digest": output_digest,
                "now": now,
            },
        )


def _close_run(
    connection: duckdb.DuckDBPyConnection,
    key: StageKey,
    shard: int,
    now: datetime,
    status: str,
    error: str | None,
    output_digest: str | None = None,
    summary: RunSummary | None = None,
) -> None:
    """End the shard's running execution. A summary's device and versions replace those of begin."""
    values: dict[str, Any] = {
        "status": status,
        "error": error,
        "output_digest": output_digest,
        "now": now,
    }
    columns = "status = $status, error = $error, output_digest = $output_digest, finished_at = $now"
    if summary is not None:
        values |= {
            "rows_in": summary.rows_in,
            "rows_out": summary.rows_out,
            "tokens": summary.tokens,
            "seconds": summary.seconds,
            "peak_memory": summary.peak_memory,
            "peak_gpu_memory": summary.peak_gpu_memory,
            "engine_seconds": summary.engine_seconds,
            "engine_tokens": summary.engine_tokens,
            "device": summary.device,
            "versions": canonical_json(dict(summary.versions)) if summary.versions else None,
            "detail": canonical_json(dict(summary.detail)),
            "summary": summary.text,
        }
        columns += (
            ", rows_in = $rows_in, rows_out = $rows_out, tokens = $tokens, seconds = $seconds, "
            "engine_seconds = $engine_seconds, engine_tokens = $engine_tokens, "
            "peak_memory = $peak_memory, peak_gpu_memory = $peak_gpu_memory, "
            "device = coalesce($device, device), "
            "versions = coalesce($versions, versions), detail = $detail, summary = $summary"
        )
    connection.execute(
        f"UPDATE stage_runs SET {columns} WHERE {_OF_STAGE} AND shard = $shard AND status = 'running'",
        {**key.parameters(), "shard": shard, **values},
    )


def literal_path(path: Path) -> str:
    """A path that read_parquet takes as it is: the signs of its patterns stand in brackets."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
