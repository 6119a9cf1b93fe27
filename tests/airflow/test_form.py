"""The trigger form: what it offers and refuses, and the command that its answers mean."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from pipeline.airflow.form import AS_CONFIG, FIELDS, config_files, launch_arguments, trigger_form
from pipeline.config import load_config
from pipeline.config.load import with_overrides
from pipeline.config.site import load_site
from pipeline.config.triggerable import triggerable_fields
from pipeline.paths import Home, package_data

NOW = datetime(2026, 11, 21, 2, 0, 7, tzinfo=UTC)


@pytest.fixture
def configs(tmp_path: Path) -> dict[str, str]:
    found = config_files(package_data("configs").parent / "dags", load_site(Home(tmp_path)))
    return {name: str(path) for name, path in found.items()}


@pytest.fixture
def form(configs: dict[str, str], tmp_path: Path) -> ParamsDict:
    return ParamsDict(trigger_form(list(configs), load_site(Home(tmp_path))))


def test_form_offers_every_experiment_config_and_not_the_site_settings(form: ParamsDict) -> None:
    offered = form.get_param("config").schema["enum"]
    assert {"addition", "gsm8k", "smoke"} <= set(offered)
    assert "site" not in offered


def test_form_untouched_is_valid_and_changes_nothing_of_the_config(
    form: ParamsDict, configs: dict[str, str]
) -> None:
    arguments = launch_arguments(form.validate(), configs, NOW)
    assert arguments == [configs["addition"], "--experiment", "addition-2026-11-21-020007"]


def test_form_fields_have_sections_titles_and_descriptions(form: ParamsDict) -> None:
    for name in form:
        schema = form.get_param(name).schema
        assert schema["section"] and schema["title"] and schema["description_md"], name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("experiment", "Bad Name"),
        ("experiment", "../up"),
        ("config", "site"),
        ("config", "/etc/passwd"),
        ("rounds", -1),
        ("rounds", 1001),
        ("rounds", 1.5),
        ("samples", 0),
        ("temperature", 5.1),
        ("temperature", "hot"),
        ("rationalize", "maybe"),
        ("train_from", "scratch"),
        ("shards", 0),
        ("continue_newest", "yes"),
        ("further", ["store.url=postgres://elsewhere"]),
        ("further", ["allow_unsafe=true"]),
        ("further", ["verify.grader={type: python}"]),
        ("further", ["verify.grader.type=python"]),
        ("further", ["engine.kind=scripted"]),
        ("further", ["model.base=/tmp/model"]),
        ("further", ["generate.top_p=0.9; rm -rf /"]),
        ("further", ["generate.top_p=!!python/name:os.system"]),
        ("further", ["generate.top_k=-1"]),
        ("further", ["generate.top_k=1\nrounds=9"]),
        ("further", ["generate.samples=4"]),
        ("further", "generate.top_k=1"),
    ],
)
def test_form_with_a_bad_value_is_refused(form: ParamsDict, name: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        form.update({name: value})
        form.validate()


def test_form_filled_in_means_a_config_with_these_values(form: ParamsDict, configs: dict[str, str]) -> None:
    form.update(
        {
            "experiment": "mine",
            "config": "smoke",
            "rounds": 4,
            "samples": 5,
            "temperature": 0.7,
            "rationalize": "off",
            "train_from": "previous",
            "shards": 2,
            "further": ["train.learning_rate=1e-4", "select.filter=none", "generate.problems=null"],
        }
    )
    path, *arguments = launch_arguments(form.validate(), configs, NOW)
    assert arguments[:2] == ["--experiment", "mine"]
    assignments = [value for flag, value in zip(arguments, arguments[1:], strict=False) if flag == "--set"]
    config = load_config(Path(path), assignments).config
    assert (config.rounds, config.shards, config.generate.samples) == (4, 2, 5)
    assert (config.generate.temperature, config.generate.problems) == (0.7, None)
    assert (config.rationalize.enabled, config.train.start) == (False, "previous")
    assert (config.train.learning_rate, config.select.filter) == (1e-4, "none")


@pytest.mark.parametrize(
    "params",
    [
        {"config": "elsewhere"},
        {"experiment": "Bad Name"},
        {"further": ["model.base=x"]},
        {"temprature": 0.5},
    ],
)
def test_launch_of_params_that_slipped_through_fails_without_a_retry(
    form: ParamsDict, configs: dict[str, str], params: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException):
        launch_arguments({**form.validate(), **params}, configs, NOW)


def test_triggerable_fields_name_no_model_grader_engine_problem_or_store() -> None:
    for key in triggerable_fields():
        section = key.partition(".")[0]
        assert section not in {"model", "verify", "engine", "problems", "prompts", "store", "allow_unsafe"}
    assert set(FIELDS.values()) <= set(triggerable_fields())


@pytest.mark.parametrize("key", sorted(triggerable_fields()))
def test_triggerable_default_matches_its_own_pattern_and_can_be_set(key: str) -> None:
    field = triggerable_fields()[key]
    text = field.default if isinstance(field.default, str) else json.dumps(field.default)
    assert re.fullmatch(field.pattern, f"{key}={text}")
    one_sample = ["generate.samples=1", "rationalize.samples=1"]  # which temperature 0 needs
    with_overrides(load_config(Path("smoke")).config, [*one_sample, f"{key}={text}"], "test")


def test_form_choice_left_alone_is_as_in_the_config(form: ParamsDict) -> None:
    assert form["rationalize"] == form["train_from"] == AS_CONFIG
