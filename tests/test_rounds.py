"""The list of stages: every name resolves, every input exists, the order is a valid one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pipeline.config import ExperimentConfig, load_config
from pipeline.config.experiment import TrainVariant
from pipeline.rounds import STAGES, WRITE, stage_named, stages_of, tasks_of


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stage_module_has_a_run_function(stage) -> None:  # type: ignore[no-untyped-def]
    assert callable(importlib.import_module(stage.module).run)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stage_inputs_stand_before_it_and_its_config_exists(stage) -> None:  # type: ignore[no-untyped-def]
    before = [other.name for other in STAGES[: STAGES.index(stage)]]
    assert set(stage.inputs) <= set(before)
    assert {stage_named(name).name for name in stage.previous} == set(stage.previous)
    for key in (*stage.config, *stage.further.config):
        section = ExperimentConfig
        for name in key.split("."):
            assert name in section.model_fields, f"{stage.name} reads {key}"
            section = section.model_fields[name].annotation  # type: ignore[assignment]


CONFIG = load_config(Path("addition")).config
REGENERATING = load_config(
    Path("addition"), ["rationalize.regenerate=true", "generate.temperatures.candidates=[0.7, 1.0]"]
).config


def test_round_zero_measures_and_trains_nothing() -> None:
    assert [stage.name for stage in stages_of(0, CONFIG)] == [
        "prepare",
        "evaluate",
        "verify_evaluated",
        "check",
        "decide",
    ]


def test_later_round_has_all_stages_in_order() -> None:
    names = [stage.name for stage in stages_of(3, CONFIG)]
    assert len(names) == 11
    assert names == [stage.name for stage in STAGES if stage.only_if is None]


def test_later_round_has_the_stages_that_the_config_asks_for() -> None:
    names = [stage.name for stage in stages_of(3, REGENERATING)]
    assert names == [stage.name for stage in STAGES]
    assert names.index("regenerate") == names.index("select") - 2
    assert names.index("choose_temperature") == names.index("generate") - 1


def test_fused_stages_follow_one_another_and_stand_on_themselves_and_what_is_before_all_of_them() -> None:
    names = [stage.name for stage in STAGES]
    place = names.index(WRITE.stages[0])
    assert tuple(names[place : place + len(WRITE.stages)]) == WRITE.stages
    inputs = {name for stage in WRITE.stages for name in stage_named(stage).inputs}
    assert inputs <= {*names[:place], *WRITE.stages}


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ([], ["generate", "verify_generated", "rationalize", "verify_rationalized"]),
        (["generate.fuse=true"], ["write"]),
        (["generate.fuse=true", "rationalize.regenerate=true"], ["write"]),
        (
            ["generate.fuse=true", "shards=2"],
            ["write", "verify_generated", "rationalize", "verify_rationalized"],
        ),
    ],
)
def test_tasks_of_a_round_have_write_in_place_of_what_it_runs(settings: list[str], place: list[str]) -> None:
    config = load_config(Path("addition"), settings).config
    rest = ["select", "train", "evaluate", "verify_evaluated", "check", "decide"]
    assert list(tasks_of(2, config)) == ["prepare", *place, *rest]
    assert tasks_of(0, config) == ("prepare", "evaluate", "verify_evaluated", "check", "decide")


def test_unknown_stage_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        stage_named("gernerate")


def test_train_depends_on_what_measures_its_variants_only_where_there_are_some() -> None:
    config = ExperimentConfig.model_validate(
        {
            "model": {"base": "somewhere"},
            "problems": {"sources": {"train": {"kind": "jsonl", "path": "train.jsonl"}}},
            "verify": {"grader": {"type": "numeric"}},
        }
    )
    train = stage_named("train")
    assert (train.inputs_of(config), train.config_of(config)) == (("select",), ("train", "seed"))
    variants = (TrainVariant(learning_rate=1e-5), TrainVariant(learning_rate=1e-4))
    swept = config.model_copy(update={"train": config.train.model_copy(update={"variants": variants})})
    assert train.inputs_of(swept) == ("select", "prepare")
    assert {"evaluate", "verify.grader", "prompts", "engine"} <= set(train.config_of(swept))
    assert stage_named("generate").config_of(swept) == stage_named("generate").config
    assert [each.learning_rate for each in swept.train.trainings()] == [1e-5, 1e-4]
