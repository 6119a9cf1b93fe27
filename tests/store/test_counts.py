"""The kept counts of finished rounds are those that the rows give, whatever was done to the rounds."""

from typing import Any

from pipeline.store import Store
from pipeline.store.checks import run_checks
from pipeline.store.maintenance import compact
from tests.store.known_rows import EXPERIMENT, commit_rows, rationale, verdict
from tests.store.test_maintenance import QUIET, busy, content

KEPT = ("counted_rounds", "counted_attempts", "counted_fates")


def counts(store: Store) -> list[list[tuple[Any, ...]]]:
    with store.reading() as connection:
        return [
            sorted(connection.execute(f"SELECT * FROM {view}").fetchall())
            for view in ("attempt_counts", "fate_counts")
        ]


def forget(store: Store) -> None:
    with store.transaction() as connection:
        for table in KEPT:
            connection.execute(f"DELETE FROM {table}")


def kept_rounds(store: Store) -> list[tuple[Any, ...]]:
    return sorted(content(store)["counted_rounds"])


def test_counts_kept_equal_those_counted_when_asked(world: Store) -> None:
    busy(world)
    kept = counts(world)
    assert kept_rounds(world) == [(EXPERIMENT, 0), (EXPERIMENT, 1), ("sums-b", 0), ("sums-b", 1)]
    assert all(kept)
    forget(world)
    assert counts(world) == kept


def test_counts_follow_verdicts_of_a_finished_round_and_what_is_superseded(world: Store) -> None:
    attempts, fates = counts(world)
    attempt = rationale("x", "p2", "rationalized")
    commit_rows(world, "rationalize", 1, {"rationales": [attempt]}, input_digest="new")
    replaced = counts(world)
    assert replaced != [attempts, fates]
    commit_rows(world, "verify_rationalized", 1, {"verdicts": [verdict("x", "correct")]}, input_digest="new")
    assert counts(world) != replaced
    after = counts(world)
    assert run_checks_of_counts(world) == []
    forget(world)
    assert counts(world) == after


def test_counts_of_a_round_that_runs_again_are_not_kept_until_it_is_done(world: Store) -> None:
    before = counts(world)
    world.put("rounds", [{"experiment": EXPERIMENT, "round": 1, "status": "running"}])
    assert kept_rounds(world) == [(EXPERIMENT, 0)]
    assert counts(world) == before
    world.put("rounds", [{"experiment": EXPERIMENT, "round": 1, "status": "done"}])
    assert kept_rounds(world) == [(EXPERIMENT, 0), (EXPERIMENT, 1)]
    assert counts(world) == before


def test_counts_are_compacted_with_the_rows(world: Store) -> None:
    before = counts(world), kept_rounds(world)
    compact(world, QUIET)
    assert (counts(world), kept_rounds(world)) == before


def run_checks_of_counts(store: Store) -> list[dict[str, Any]]:
    found = run_checks(store, EXPERIMENT)
    return [offence.row for offence in found if offence.check == "kept_counts_wrong"]
