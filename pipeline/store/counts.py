"""Counts of finished rounds, kept beside the rows they count, so that a page need not read every attempt.

A round's counts are kept while its status says that it is finished, and written anew, in the same
transaction, with everything that changes them. A round without kept counts (it runs, or comes from an older
store) is counted by the views attempt_counts and fate_counts when somebody asks.
"""

from __future__ import annotations

import duckdb

COUNTED = frozenset({"rationales", "verdicts", "training_rows", "rejections"})
"""The tables whose rows are counted."""
# Where a round's counts are kept, and the view that counts them.
_KEPT = {"counted_attempts": "attempt_counts", "counted_fates": "fate_counts"}
_OF_ROUND = "experiment = $experiment AND round = $round"


def recount(connection: duckdb.DuckDBPyConnection, experiment: str, round_: int) -> None:
    """Forget the counts of a round; where it is finished, keep those of now. In the caller's transaction."""
    of_round = {"experiment": experiment, "round": round_}
    for table in ("counted_rounds", *_KEPT):
        connection.execute(f"DELETE FROM {table} WHERE {_OF_ROUND}", of_round)
    finished = connection.execute(
        f"SELECT 1 FROM rounds WHERE {_OF_ROUND} AND status IN ('done', 'forked')", of_round
    ).fetchone()
    if not finished:
        return
    for table, view in _KEPT.items():
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {view} WHERE {_OF_ROUND}", of_round)
    connection.execute("INSERT INTO counted_rounds VALUES ($experiment, $round)", of_round)


def fork_counts(connection: duckdb.DuckDBPyConnection, source: str, target: str, last_round: int) -> None:
    """Keep for `target` what is kept for rounds 0 to `last_round` of `source`."""
    for table in ("counted_rounds", *_KEPT):
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT * REPLACE ($target AS experiment) FROM {table} "
            "WHERE experiment = $source AND round <= $last_round",
            {"source": source, "target": target, "last_round": last_round},
        )
