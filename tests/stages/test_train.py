"""train: what becomes of a round's training rows, and of a training that goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.engines.weights import hash_model
from pipeline.errors import ConfigError, DivergedError
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


SWEEP = "train.variants=[{learning_rate: 1.0e-4}, {learning_rate: 5}, {learning_rate: 1.0e-2, epochs: 8}]"


@pytest.mark.slow
def test_train_sweep_takes_the_best_variant_on_dev_and_keeps_what_each_came_to(solved: Lab) -> None:
    # The script answers dev problems alike for every variant, so the held-out loss decides between equals.
    solved.run(SWEEP, "train.held_out=0.3", "train.epochs=4", "train.batch_size=2", "train.warmup_ratio=0")
    variants = solved.store.rows("reports/training_variants", experiment="lab")
    assert [(row["variant"], row["learning_rate"], row["epochs"]) for row in variants] == [
        ("variant-1", 1e-4, 4.0),
        ("variant-2", 5.0, 4.0),
        ("variant-3", 1e-2, 8.0),
    ]
    assert [row["dev_accuracy"] for row in variants] == [1.0, None, 1.0]
    assert [row["taken"] for row in variants] == [False, False, True]
    assert "lower train.learning_rate (now 5)" in variants[1]["failed"]
    assert variants[2]["held_out_loss"] < variants[0]["held_out_loss"]
    ((path, content_hash, steps),) = solved.rows(
        "select path, content_hash, steps from checkpoints where not superseded"
    )
    assert (content_hash, steps) == (variants[2]["content_hash"], 16)
    assert hash_model(solved.home.absolute(path)) == content_hash
    left = sorted(item.name for item in solved.home.checkpoint("lab", 1).parent.glob("*/*"))
    assert left == [solved.home.absolute(path).name]
    measured = solved.store.rows("reports/held_out_loss", experiment="lab")
    assert min(row["loss"] for row in measured) == variants[2]["held_out_loss"]
    assert [row["step"] for row in measured if row["kept"]] == [measured[-1]["step"]]

    executions = "select count(*) from stage_runs where stage = 'train'"
    assert solved.rows(executions) == [(1,)]
    solved.run(SWEEP, "train.held_out=0.3", "train.epochs=4", "train.batch_size=2", "train.warmup_ratio=0")
    assert solved.rows(executions) == [(1,)]  # done is done


@pytest.mark.slow
def test_train_sweep_of_adapters_is_measured_on_their_base(lab: Lab) -> None:
    lab.run(
        *("select.filter=none", "select.cut_off=true", "generate.max_tokens=4", "rationalize.enabled=false"),
        "train.variants=[{learning_rate: 1.0e-3}, {learning_rate: 1.0e-2}]",
        *("train.lora={r: 4, merge: false}", "train.epochs=1", "train.batch_size=2"),
        *("engine={kind: transformers, device: cpu}", "evaluate.max_tokens=4"),
        until="train",
    )
    variants = lab.store.rows("reports/training_variants", experiment="lab")
    assert [row["dev_accuracy"] is None for row in variants] == [False, False]
    assert sum(row["taken"] for row in variants) == 1


def test_train_sweep_that_nothing_can_decide_is_refused(tmp_path: Path, text_base: Path) -> None:
    lab = Lab(tmp_path, text_base, train=2, dev=0)
    for index in range(2):
        lab.says(f"p{index}", [right(2 * index)])
    with pytest.raises(ConfigError, match=r"no dev problems to tell which is best.*train\.held_out"):
        lab.run("train.variants=[{learning_rate: 1.0e-4}, {learning_rate: 1.0e-3}]")
