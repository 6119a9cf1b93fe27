"""The trigger form: what it asks, and the `star launch` command that its answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from pipeline.config.load import configs_in
from pipeline.config.site import LoadedSite
from pipeline.config.triggerable import assignments_pattern, check_assignments, triggerable_fields
from pipeline.errors import ConfigError
from pipeline.paths import EXPERIMENT_NAME, validate_experiment

AS_CONFIG = "as in the config"
_NAME = EXPERIMENT_NAME.pattern
FIELDS = {
    "rounds": "rounds",
    "samples": "generate.samples",
    "temperature": "generate.temperature",
    "rationalize": "rationalize.enabled",
    "train_from": "train.start",
    "shards": "shards",
}
"""Param -> the field of the config that it sets."""


def config_files(dags_folder: Path, site: LoadedSite) -> dict[str, Path]:
    """The configs to choose from: of `configs/` beside the DAGs, and of the site's folders."""
    return configs_in(dags_folder.parent / "configs", *site.config_folders)


def trigger_form(configs: Sequence[str], site: LoadedSite) -> dict[str, Param]:
    """The Params of the launcher; their bounds and documentation are those of the config's fields."""
    schedule = site.config.airflow.schedule
    first = schedule.config if schedule.config in configs else configs[0]
    return {
        "experiment": Param(
            None,
            title="Experiment",
            type=["null", "string"],
            pattern=_NAME,
            section="What to run",
            description_md="Name of the experiment: `a-z`, `0-9` and `-`. **Empty**: a new one named by "
            "config and time. The name of **one that exists** goes on with it, also where a cleared round "
            "made later ones stale; it keeps its config.",
        ),
        "config": Param(
            first,
            title="Config",
            enum=list(configs),
            section="What to run",
            description_md="Of a new experiment. One file each in `configs/`; `star config NAME` shows it.",
        ),
        "continue_newest": Param(
            schedule.continue_newest,
            title="Continue the newest",
            type="boolean",
            section="What to run",
            description_md="Go on with the newest experiment of this config, if new problems have arrived "
            "in its files: they join from the next round on. Nothing is done where there are none.",
        ),
        "rounds": _number("rounds", "Rounds", "Loop"),
        "samples": _number("samples", "Samples per problem", "Loop"),
        "temperature": _number("temperature", "Temperature", "Loop"),
        "rationalize": _choice("rationalize", "Rationalize", ("on", "off")),
        "train_from": _choice("train_from", "Train from", ("base", "previous")),
        "shards": _number("shards", "Shards", "Compute"),
        "further": Param(
            [],
            title="Further fields",
            type="array",
            items={"type": "string", "pattern": assignments_pattern(tuple(FIELDS.values()))},
            section="Further",
            description_md="One `key=value` a line, of: "
            + ", ".join(key for key in triggerable_fields() if key not in FIELDS.values()),
        ),
    }


def _number(name: str, title: str, section: str) -> Param:
    field = triggerable_fields()[FIELDS[name]]
    description = f"{field.documentation} `{field.key}`; empty: {AS_CONFIG}."
    kinds = ["null", *field.types]
    return Param(None, title=title, type=kinds, section=section, description_md=description, **field.bounds)


def _choice(name: str, title: str, choices: Sequence[str]) -> Param:
    field = triggerable_fields()[FIELDS[name]]
    return Param(
        AS_CONFIG,
        title=title,
        enum=[AS_CONFIG, *choices],
        section="Loop",
        description_md=f"{field.documentation} `{field.key}`.".lstrip(),
    )


def launch_arguments(params: Mapping[str, Any], configs: Mapping[str, str], now: datetime) -> list[str]:
    """The arguments of `star launch` that filled-in Params mean. AirflowFailException for a bad value.

    Airflow has checked the Params against their schema before the run was made; what decides is checked again
    here, since this is what a command is made of.
    """
    unknown = set(params) - {*FIELDS, "experiment", "config", "continue_newest", "further"}
    if unknown:
        raise AirflowFailException(f"{', '.join(sorted(unknown))}: no field of the form; see `further`")
    config = params["config"]
    if config not in configs:
        raise AirflowFailException(f"config {config!r} is not offered; expected one of {', '.join(configs)}")
    name = params["experiment"] or f"{config.replace('_', '-')[:40]}-{now:%Y-%m-%d-%H%M%S}"
    assignments = [f"{FIELDS[key]}={_value(params[key])}" for key in FIELDS if _is_set(params[key])]
    assignments += params["further"] or []
    try:
        validate_experiment(name)
        check_assignments(assignments)
    except ConfigError as error:
        raise AirflowFailException(str(error)) from None
    arguments = [str(configs[config]), "--experiment", name]
    for assignment in assignments:
        arguments += ["--set", assignment]
    return [*arguments, "--continue-newest"] if params["continue_newest"] else arguments


def _is_set(value: Any) -> bool:
    return value not in (None, AS_CONFIG)


def _value(value: Any) -> str:
    return {"on": "true", "off": "false"}.get(value, str(value)) if isinstance(value, str) else str(value)
