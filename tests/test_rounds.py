"""The list of stages: every name resolves, every input exists, the order is a valid one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pipeline.config import ExperimentConfig, load_config
from pipeline.rounds import STAGES, stage_named, stages_of


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stage_module_has_a_run_function(stage) -> None:  # type: ignore[no-untyped-def]
    assert callable(importlib.import_module(stage.module).run)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stage_inputs_stand_before_it_and_its_config_exists(stage) -> None:  # type: ignore[no-untyped-def]
    before = [other.name for other in STAGES[: STAGES.index(stage)]]
    assert set(stage.inputs) <= set(before)
    assert {stage_named(name).name for name in stage.previous} == set(stage.previous)
    for key in (*stage.config, *(stage.config_if or ("", ()))[1]):
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


def test_unknown_stage_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        stage_named("gernerate")
