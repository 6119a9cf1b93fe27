"""train: what becomes of a round's training rows, and of a training that goes wrong."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import DivergedError
from tests.stages.conftest import Lab, right


@pytest.fixture
def solved(lab: Lab) -> Lab:
    """Every train problem is answered right at the first try: six training rows."""
    for index in range(6):
        lab.says(f"p{index}", [right(2 * index)])
    return lab


@pytest.mark.slow
def test_train_that_diverges_says_why_publishes_nothing_and_is_done_again_from_the_start(solved: Lab) -> None:
    settings = ("train.learning_rate=5", "train.batch_size=2", "train.epochs=10", "train.warmup_ratio=0")
    message = r"loss of step \d+ is .*lower train\.learning_rate \(now 5\).*star fork lab NEW --from-round 0"
    with pytest.raises(DivergedError, match=message):
        solved.run(*settings)
    failed = "select status, error from stage_runs where stage = 'train'"
    ((status, error),) = solved.rows(failed)
    assert status == "failed" and "DivergedError" in error and "loss of step" in error
    assert solved.rows("select count(*) from checkpoints") == [(0,)]
    assert list(solved.home.checkpoint("lab", 1).iterdir()) == []

    with pytest.raises(DivergedError, match=message):
        solved.run(*settings)
    assert len(solved.rows(failed)) == 2
    solved.run(*settings, "train.max_loss_rise=null", until="train")
    assert solved.rows("select count(*) from checkpoints where not superseded") == [(1,)]


def test_train_rows_of_held_out_problems_measure_it_and_are_left_out_with_that_reason(solved: Lab) -> None:
    solved.run("train.held_out=0.3", "train.epochs=4", "train.batch_size=2")
    left_out = solved.rows(
        "select problem_id, reason, detail from rejections where stage = 'train' and not superseded order by all"
    )
    assert len(left_out) == 2
    assert {row[1:] for row in left_out} == {("held_out", "of 2 problems held out to measure the training")}
    assert solved.rows("select rows, steps from checkpoints where not superseded") == [(4, 8)]
    ((detail, summary),) = solved.rows("select detail, summary from stage_runs where stage = 'train'")
    assert [step for step, _ in json.loads(detail)["held_out"]["losses"]] == list(range(1, 9))
    assert "2 rows of 2 problems held out, their loss lowest" in summary
    fates = solved.store.rows("reports/fates_by_round", experiment="lab")
    assert {row["fate"]: row["attempts"] for row in fates} == {"kept": 4, "held_out": 2, "duplicate": 6}
    assert solved.rows("select count(*) from stage_runs where stage = 'check' and status = 'done'") == [(2,)]
