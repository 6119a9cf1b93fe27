"""Intervals hold what came; later rounds reach from as the first to all solved; money is hours times price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.plan.came import beside
from pipeline.config import load_config
from pipeline.config.site import PricesSite
from pipeline.paths import Home
from pipeline.plan import Estimate, advice_of, measure, predict, run_pilot
from pipeline.plan.estimate import Sample, share
from pipeline.progress import LogProgress
from pipeline.runner import open_session, run_experiment
from pipeline.store import Store
from tests.experiments import NAME
from tests.plan.conftest import Tried

FREE = PricesSite()
UNTIMED = "seconds"
"""How long something takes is asserted nowhere: the machine of a test may be busy."""


def test_intervals_hold_what_came_of_the_scripted_experiment(tried: Tried, finished: Path) -> None:
    compared = list(beside(predict(tried.measured, FREE), Store(Home(finished / "home")), NAME))
    assert {each.round for each in compared} == {0, 1, 2, None}
    assert [each for each in compared if not each.held and each.quantity != UNTIMED] == []


@pytest.mark.slow
def test_intervals_hold_what_came_of_smoke(tmp_path: Path) -> None:
    home, loaded, progress = Home(tmp_path), load_config(Path("smoke")), LogProgress()
    planned = predict(measure(run_pilot(loaded, home, 20, progress)), FREE)
    run_experiment(open_session(home, loaded.experiment, loaded, progress))
    compared = list(beside(planned, Store(home), loaded.experiment))
    assert {each.round for each in compared} == {0, 1, 2, None}
    assert [each for each in compared if not each.held and each.quantity != UNTIMED] == []


def test_later_rounds_reach_from_the_pass_rate_of_the_first_to_all_solved(tried: Tried) -> None:
    planned = predict(tried.measured, FREE)
    first, second = planned.rounds[1], planned.rounds[2]
    assert first.pass_rate is not None and second.pass_rate is not None
    assert (second.pass_rate.low, second.pass_rate.high) == (first.pass_rate.low, 1.0)
    assert first.pass_rate.high < 1.0
    assert second.kept_rows.high == tried.measured.sample.problems
    assert second.kept_rows.low == first.kept_rows.low
    assert second.stages["rationalize"].low < second.stages["rationalize"].value


def test_the_sum_is_that_of_the_rounds(tried: Tried) -> None:
    planned = predict(tried.measured, FREE)
    for name in ("kept_rows", "sampled_tokens", "trained_tokens", "seconds", "disk"):
        assert getattr(planned.total, name).value == pytest.approx(
            sum(getattr(each, name).value for each in planned.rounds)
        )
    assert planned.total.seconds.value == pytest.approx(
        sum(each.value for each in planned.total.stages.values())
    )


def test_without_a_gpu_there_are_no_gpu_hours_and_no_money(tried: Tried) -> None:
    planned = predict(tried.measured, PricesSite(gpu_hour=2.5))
    assert planned.total.gpu_hours is None and planned.total.money is None


def test_gpu_hours_count_every_gpu_of_the_writer_and_one_of_the_trainer(tried: Tried) -> None:
    runs = {key: {**run, "device": "NVIDIA H100"} for key, run in tried.measured.runs.items()}
    config = tried.measured.config
    config = config.model_copy(update={"engine": config.engine.model_copy(update={"tensor_parallel": 4})})
    planned = predict(replace(tried.measured, runs=runs, config=config), PricesSite(gpu_hour=2.5)).total
    writing = sum(planned.stages[name].value for name in ("generate", "rationalize", "evaluate"))
    hours = (4 * writing + planned.stages["train"].value) / 3600
    assert planned.gpu_hours is not None and planned.gpu_hours.value == pytest.approx(hours)
    assert planned.money is not None and planned.money.value == pytest.approx(2.5 * hours)
    assert predict(replace(tried.measured, runs=runs), FREE).total.money is None


def test_checkpoints_that_stay_are_counted(tried: Tried) -> None:
    def disk(keep: str) -> float:
        config = tried.measured.config
        kept = config.train.model_copy(update={"keep": keep})
        measured = replace(tried.measured, config=config.model_copy(update={"train": kept, "rounds": 5}))
        return predict(measured, FREE).total.disk.value

    one = tried.pilot.facts.checkpoint_bytes / (1 << 20)
    assert disk("all") - disk("last") == pytest.approx(4 * one)
    assert disk("best") - disk("last") == pytest.approx(one)


def test_a_base_that_solves_nothing_gets_advice_with_the_fields_to_turn(saying: Callable[..., Tried]) -> None:
    tried = saying("It is 99.\n#### 99", "generate.few_shot=never", "generate.samples=1")
    advice = advice_of(tried.measured)
    assert [each.field for each in advice] == [
        "generate.few_shot",
        "generate.samples",
        "problems.sources",
        "problems.imported",
        "model.base",
    ]
    planned = predict(tried.measured, FREE)
    assert not planned.training_measured
    assert planned.rounds[1].kept_rows.value == 0 and planned.rounds[1].kept_rows.high > 0
    assert planned.rounds[2].sampled_tokens.value == 0 and planned.rounds[2].sampled_tokens.high > 0


def test_many_cut_off_texts_get_advice_on_tokens(saying: Callable[..., Tried]) -> None:
    tried = saying("It goes on and on", finish="length")
    advice = {each.field: each.text for each in advice_of(tried.measured)}
    assert "8 of 8 attempts are cut off at 64 tokens" in advice["generate.max_tokens"]
    assert "verify.grader.extract" not in advice


def test_many_texts_without_an_answer_get_advice_on_the_grader(saying: Callable[..., Tried]) -> None:
    tried = saying("The answer is not written as it should be: 99")
    advice = {each.field: each.text for each in advice_of(tried.measured)}
    assert "the grader finds no answer in 8 of 8 attempts" in advice["verify.grader.extract"]


def test_a_base_that_solves_something_gets_no_advice_on_solving(tried: Tried) -> None:
    assert {each.field for each in advice_of(tried.measured)} <= {"generate.max_tokens"}


def test_sum_over_a_round_scales_the_mean_of_each_stratum() -> None:
    sample = Sample(("easy", "easy", "hard", "hard"), {"easy": 10, "hard": 30})
    assert sample.sum_over_round([1, 1, 3, 3]) == Estimate(100.0, 100.0, 100.0)
    spread = sample.sum_over_round([0, 2, 3, 3])
    assert spread.value == 100.0 and spread.low == 90.0 and spread.high == 110.0


def test_mean_over_a_round_weighs_each_stratum_by_what_it_gives() -> None:
    sample = Sample(("easy", "easy", "hard", "hard"), {"easy": 10, "hard": 30})
    mean = sample.mean_over_round([20, 20, 60, 60], [1, 1, 2, 2])  # rows of 20 tokens, and two each of 30
    assert mean == Estimate(2000 / 70, 2000 / 70, 2000 / 70)


def test_count_that_is_0_in_the_sample_may_be_more_in_the_round() -> None:
    found = Sample(("all",) * 20, {"all": 200}).count_over_round([0] * 20)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(200 * share(0, 20, 20).high)


def test_share_counts_problems_as_trials_not_their_attempts() -> None:
    assert share(40, 80, 20) == share(10, 20, 20)
    assert share(40, 80, 80).low > share(40, 80, 20).low
