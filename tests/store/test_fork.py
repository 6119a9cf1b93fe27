"""A fork stands on finished rounds: it has their rows and their done stages, and goes its own way after."""

import pytest

from pipeline.errors import NotReadyError, StarError, StoreError
from pipeline.store import StageKey, Store
from pipeline.store.checks import run_checks
from tests.store.known_rows import EXPERIMENT, commit_rows, put_round, rationale


def test_fork_has_the_rows_the_done_stages_and_holds_all_invariants(world: Store) -> None:
    world.fork(EXPERIMENT, "sums-b", 1)
    assert run_checks(world, "sums-b") == []
    for stage in ("generate", "select", "train"):
        state = world.state(StageKey("sums-b", 1, stage))
        assert state == world.state(StageKey(EXPERIMENT, 1, stage)) and state.status == "done"
    assert {row["status"] for row in world.rows("rounds", experiment="sums-b")} == {"forked"}
    summaries = [world.rows("rounds_summary", experiment=name)[1] for name in (EXPERIMENT, "sums-b")]
    for summary in summaries:
        del summary["experiment"], summary["status"]
    assert summaries[0] == summaries[1]


def test_fork_from_an_earlier_round_leaves_the_later_ones_and_superseded_rows_behind(world: Store) -> None:
    commit_rows(world, "evaluate", 0, {"rationales": [rationale("n", "e1", "evaluated")]}, input_digest="new")
    world.fork(EXPERIMENT, "sums-b", 0)
    with world.reading() as connection:
        rows = connection.execute(
            "SELECT DISTINCT round, rationale_id FROM rationales WHERE experiment = 'sums-b'"
        ).fetchall()
    assert rows == [(0, "n")]


def test_fork_and_source_change_apart(world: Store) -> None:
    world.fork(EXPERIMENT, "sums-b", 1)
    commit_rows(world, "select", 1, {"training_rows": []}, input_digest="other")
    assert len(world.rows("training_set", experiment="sums-b", round=1)) == 1
    assert world.rows("training_set", experiment=EXPERIMENT, round=1) == []


@pytest.mark.parametrize(
    ("source", "target", "last_round", "error", "words"),
    [
        ("nobody", "new", 0, NotReadyError, "'nobody' is not in the store"),
        (EXPERIMENT, EXPERIMENT, 0, StoreError, "exists; fork sums under another name"),
        (EXPERIMENT, "new", 2, NotReadyError, "round 2 .* not finished .finished: 0 to 1.*--rounds 2"),
        (EXPERIMENT, "new", -1, NotReadyError, "round -1"),
    ],
)
def test_fork_that_cannot_be_is_refused_and_copies_nothing(
    world: Store, source: str, target: str, last_round: int, error: type[StarError], words: str
) -> None:
    put_round(world, 2, status="running")
    with pytest.raises(error, match=words):
        world.fork(source, target, last_round)
    assert [row["experiment"] for row in world.rows("all_experiments")] == [EXPERIMENT]
