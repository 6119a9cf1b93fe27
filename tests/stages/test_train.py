"""train: what becomes of a round's training rows, and of a training that goes wrong."""

from __future__ import annotations

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
