"""A new experiment that stands on the finished rounds of another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from pipeline.errors import NotReadyError, StoreError
from pipeline.identity import canonical_json
from pipeline.store.counts import fork_counts
from pipeline.store.tables import STAGE_TABLES

# A checkpoint that lies in the source's folder is expected at the same place in the target's.
_OWN_PATH = (
    ", regexp_replace(path, '^experiments/' || $source || '/', 'experiments/' || $target || '/') AS path"
)


def fork(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    target: str,
    last_round: int,
    *,
    now: datetime,
    config: Mapping[str, Any] | None = None,
    config_digest: str | None = None,
) -> None:
    """Copy rounds 0 to `last_round` of `source` to `target` (see Store.fork), in the caller's transaction."""
    _refuse(connection, source, target, last_round)
    names = {"source": source, "target": target, "last_round": last_round}
    for table in STAGE_TABLES:
        replaced = "$target AS experiment" + (_OWN_PATH if table == "checkpoints" else "")
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT * REPLACE ({replaced}) FROM {table} "
            "WHERE experiment = $source AND round <= $last_round AND NOT superseded",
            names,
        )
    connection.execute(
        "INSERT INTO flags BY NAME SELECT * REPLACE ($target AS experiment) FROM flags "
        "WHERE experiment = $source AND round <= $last_round",
        names,
    )
    connection.execute(
        "INSERT INTO commits BY NAME SELECT * REPLACE ($target AS experiment) FROM commits "
        "WHERE experiment = $source AND round <= $last_round",
        names,
    )
    fork_counts(connection, source, target, last_round)
    connection.execute(
        "INSERT INTO stage_runs BY NAME SELECT * REPLACE ($target AS experiment) FROM stage_runs "
        "WHERE experiment = $source AND round <= $last_round AND status = 'done'",
        names,
    )
    connection.execute(
        "INSERT INTO rounds BY NAME SELECT * REPLACE ($target AS experiment, 'forked' AS status) FROM rounds "
        "WHERE experiment = $source AND round <= $last_round",
        names,
    )
    connection.execute(
        "INSERT INTO experiments BY NAME SELECT * REPLACE ($target AS experiment, $now AS created_at, "
        "coalesce(CAST($config AS JSON), config) AS config, "
        "coalesce($config_digest, config_digest) AS config_digest) "
        "FROM experiments WHERE experiment = $source",
        {
            "source": source,
            "target": target,
            "now": now,
            "config": None if config is None else canonical_json(dict(config)),
            "config_digest": config_digest,
        },
    )


def _refuse(connection: duckdb.DuckDBPyConnection, source: str, target: str, last_round: int) -> None:
    present = connection.execute(
        "SELECT experiment FROM experiments WHERE experiment IN ($source, $target)",
        {"source": source, "target": target},
    ).fetchall()
    if (source,) not in present:
        raise NotReadyError(f"experiment {source!r} is not in the store; see `star status`")
    if (target,) in present:
        raise StoreError(f"experiment {target!r} exists; fork {source} under another name")
    finished = connection.execute(
        "SELECT max(round) FROM rounds WHERE experiment = $source AND status IN ('done', 'forked')",
        {"source": source},
    ).fetchone()
    newest = finished[0] if finished else None
    if newest is None or not 0 <= last_round <= newest:
        raise NotReadyError(
            f"round {last_round} of experiment {source} is not finished (finished: "
            f"{'none' if newest is None else f'0 to {newest}'}); run: star run {source} --rounds {last_round}"
        )
