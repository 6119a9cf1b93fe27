"""Arms, budgets and controls of an ablation."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ablation import (
    MOST_VOTES,
    Arm,
    Budget,
    arms_of,
    budget_of,
    check_settings,
    controls,
    seed_settings,
    shared_rounds,
)
from pipeline.config import ExperimentConfig, load_config
from pipeline.config.load import with_overrides
from pipeline.errors import ConfigError
from pipeline.paths import EXPERIMENT_NAME, Home
from pipeline.store import Store
from tests.experiments import NAME

BUDGET = Budget(
    sampled_tokens=40_000,
    steps=500,
    rounds=4,
    problems=400,
    measured=100,
    tokens_per_sample=25.0,
    tokens_per_answer=20.0,
    solutions=300,
    exemplars=False,
)


@pytest.fixture
def config() -> ExperimentConfig:
    return load_config(Path("smoke")).config


def test_arms_are_every_combination_with_the_first_values_first(config: ExperimentConfig) -> None:
    arms = arms_of(["rationalize=on,off", "train.start=base,previous"], config)
    assert [arm.title for arm in arms] == [
        "rationalize=on, train.start=base",
        "rationalize=on, train.start=previous",
        "rationalize=off, train.start=base",
        "rationalize=off, train.start=previous",
    ]
    changed = with_overrides(config, arms[3].settings, "a test")
    assert (changed.rationalize.enabled, changed.train.start) == (False, "previous")


def test_arms_take_lists_as_one_value(config: ExperimentConfig) -> None:
    arms = arms_of(["generate.stop=[a,b],[c]"], config)
    assert [with_overrides(config, arm.settings, "a test").generate.stop for arm in arms] == [
        ("a", "b"),
        ("c",),
    ]


@pytest.mark.parametrize("vary", ["rationalize", "rationalize=on", "=on,off", "train.start=,"])
def test_arms_that_do_not_vary_are_refused(config: ExperimentConfig, vary: str) -> None:
    with pytest.raises(ConfigError, match="at least two values"):
        arms_of([vary], config)


def test_arm_names_are_valid_however_long_and_differ(config: ExperimentConfig) -> None:
    arms = arms_of(
        ["generate.temperature=0.7,1.0", "select.choose=distinct_equations,highest_logprob"], config
    )
    names = {arm.experiment("a-rather-long-name-of-a-config", seed) for arm in arms for seed in (0, 1)}
    assert len(names) == 8
    assert all(EXPERIMENT_NAME.fullmatch(name) for name in names)
    assert Arm("star", ()).experiment("gsm8k", 2) == "gsm8k-star-s2"


def test_seeds_are_of_the_loop_and_of_a_base_of_our_own(config: ExperimentConfig) -> None:
    assert seed_settings(config, 3) == ("seed=3", "model.tiny.seed=3")
    assert seed_settings(load_config(Path("gsm8k")).config, 3) == ("seed=3",)
    with pytest.raises(ConfigError, match="say --seeds instead"):
        check_settings(["rounds=2", "seed=4"])


def test_controls_spend_what_the_first_arm_spent(config: ExperimentConfig) -> None:
    arms, left_out = controls(BUDGET, config)
    assert left_out == []
    assert [arm.title for arm in arms] == [
        "one-shot rejection sampling",
        "unfiltered SFT",
        "answer-only SFT",
        "SFT on gold solutions",
        "zero-shot majority vote of the base",
    ]
    changed = {arm.title: with_overrides(config, arm.settings, "a test") for arm in arms}
    one_shot = changed["one-shot rejection sampling"]
    # 40,000 tokens are 1,600 samples of 25: four for each of the 400 problems that four rounds can meet.
    assert (one_shot.generate.problems, one_shot.generate.samples) == (400, 4)
    assert one_shot.select.per_problem == 4 * config.select.per_problem
    for arm in arms[:4]:
        trained = changed[arm.title]
        assert (arm.rounds, trained.train.schedule, trained.train.steps) == (1, "steps", 500)
        assert not trained.rationalize.enabled and trained.train.start == "base"
    unfiltered = changed["unfiltered SFT"]
    assert unfiltered.select.filter == "none"
    assert unfiltered.model_copy(update={"select": one_shot.select}) == one_shot
    assert changed["answer-only SFT"].generate.source == "gold_answers"
    assert changed["SFT on gold solutions"].generate.source == "gold_solutions"
    vote = changed["zero-shot majority vote of the base"]
    assert (arms[4].rounds, vote.evaluate.pass_at_k and vote.evaluate.pass_at_k.samples) == (0, 20)


def test_controls_are_left_out_with_the_reason_where_the_data_lacks_something(
    config: ExperimentConfig,
) -> None:
    bare = with_overrides(config, ["generate.answer_text=null"], "a test")
    arms, left_out = controls(replace(BUDGET, solutions=0, exemplars=True), bare)
    assert [arm.title for arm in arms][2:] == ["few-shot majority vote of the base"]
    assert [reason.partition(":")[0] for reason in left_out] == ["answer-only SFT", "SFT on gold solutions"]


def test_controls_of_a_large_budget_say_that_votes_are_capped(config: ExperimentConfig) -> None:
    vote = controls(replace(BUDGET, sampled_tokens=10_000_000), config)[0][-1]
    assert f"samples: {MOST_VOTES}" in vote.settings[1]
    assert vote.note == f"{MOST_VOTES} votes a problem (at most {MOST_VOTES})"


def test_controls_of_greedy_sampling_get_a_temperature_where_they_draw_several(
    config: ExperimentConfig,
) -> None:
    greedy = with_overrides(config, ["generate.samples=1", "generate.temperature=0"], "a test")
    one_shot = with_overrides(greedy, controls(BUDGET, greedy)[0][0].settings, "a test")
    assert (one_shot.generate.samples, one_shot.generate.temperature) == (4, 1.0)


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        (["rationalize.enabled=false"], 0),
        (["train.start=previous"], 1),
        (["train.start=previous", "train.steps=5"], 0),
        (["generate.source=gold_solutions"], 0),
        (["evaluate.pass_at_k={samples: 4}"], None),
        (["seed=1"], None),
    ],
)
def test_shared_rounds_are_those_whose_stages_have_one_config(
    config: ExperimentConfig, settings: list[str], shared: int | None
) -> None:
    assert shared_rounds(config, with_overrides(config, settings, "a test")) == shared


def test_budget_is_what_the_tables_say_was_spent(finished: Path) -> None:
    store = Store(Home(finished / "home"))
    recorded = store.rows("experiment", experiment=NAME)[0]
    config = ExperimentConfig.model_validate(recorded["config"])
    budget = budget_of(store, NAME, config)
    ((tokens,),) = store.query_readonly(
        "select sum(completion_tokens) from rationales where origin in ('generated', 'rationalized')"
    )[1]
    ((steps,),) = store.query_readonly("select sum(steps) from checkpoints")[1]
    assert (budget.sampled_tokens, budget.steps, budget.rounds) == (tokens, steps, 2)
    assert (budget.problems, budget.measured, budget.exemplars, budget.solutions) == (6, 8, True, 0)


def test_budget_of_an_experiment_that_trained_nothing_is_refused(selected: Path) -> None:
    store = Store(Home(selected / "home"))
    recorded = store.rows("experiment", experiment=NAME)[0]
    with pytest.raises(ConfigError, match="trained 0 steps"):
        budget_of(store, NAME, ExperimentConfig.model_validate(recorded["config"]))
