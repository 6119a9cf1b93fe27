"""The stages of a round, as data. The command line and the DAG both read this list; no logic lives here.

prepare > generate > verify > rationalize > verify > select > train > evaluate > verify > check > decide
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal

from pipeline.config import ExperimentConfig

Rounds = Literal["every", "zero", "later"]


@dataclass(frozen=True, slots=True)
class Further:
    """What also decides a stage's outcome where `field` of the config is set: parts of it, and stages."""

    field: str | None = None
    config: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a round.

    `inputs` are stages of the same round, `previous` stages of the round before, whose output digests enter
    this stage's input digest, beside the `config` parts that decide its outcome and its `version`, which is
    raised when the meaning of its output changes. `model` says whose weights it reads. A stage `always` runs
    again in the round that ended a run: it is cheap, and its outcome depends on the number of rounds. A stage
    with `only_if` is part of a round only where that field of the config is set; `further` is what else
    decides its outcome where another field is set. A stage with `flags` depends on what people said of
    attempts (the table `flags`).
    """

    name: str
    module: str
    sharded: bool
    gpu: bool
    inputs: tuple[str, ...]
    config: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    model: Literal["none", "previous", "current"] = "none"
    rounds: Rounds = "later"
    always: bool = False
    only_if: str | None = None
    further: Further = Further()
    flags: bool = False
    version: int = 1

    @property
    def grades(self) -> bool:
        """Whether a grader works in it."""
        return "verify.grader" in self.config

    def inputs_of(self, config: ExperimentConfig) -> tuple[str, ...]:
        """The stages of the same round that it stands on."""
        return (*self.inputs, *self.further.inputs) if self._goes_further(config) else self.inputs

    def config_of(self, config: ExperimentConfig) -> tuple[str, ...]:
        """The parts of the config that decide its outcome."""
        return (*self.config, *self.further.config) if self._goes_further(config) else self.config

    def _goes_further(self, config: ExperimentConfig) -> bool:
        return bool(self.further.field and operator.attrgetter(self.further.field)(config))

    def in_round(self, round_: int, config: ExperimentConfig) -> bool:
        """Whether the stage is part of round `round_` of an experiment."""
        if self.only_if is not None and not operator.attrgetter(self.only_if)(config):
            return False
        return self.rounds == "every" or (self.rounds == "zero") == (round_ == 0)


_WRITING = ("prompts", "engine", "generate.max_tokens", "generate.stop", "seed")

STAGES: tuple[Stage, ...] = (
    Stage(
        "prepare",
        "pipeline.stages.prepare",
        sharded=False,
        gpu=False,
        inputs=(),
        rounds="every",
        config=("problems", "evaluate.further", "prompts", "model", "seed"),
        previous=("prepare", "train"),
    ),
    Stage(
        "choose_temperature",
        "pipeline.stages.temperature",
        sharded=False,
        gpu=True,
        inputs=("prepare",),
        config=(
            "generate.temperatures",
            "generate.top_p",
            "generate.top_k",
            "generate.few_shot",
            "verify.grader",
            *_WRITING,
        ),
        model="previous",
        only_if="generate.temperatures",
    ),
    Stage(
        "generate",
        "pipeline.stages.generate",
        sharded=True,
        gpu=True,
        inputs=("prepare", "choose_temperature"),
        config=("generate", *_WRITING),
        further=Further("generate.adaptive", ("verify.grader", "select.cut_off", "select.duplicates")),
        model="previous",
    ),
    Stage(
        "verify_generated",
        "pipeline.stages.verify",
        sharded=True,
        gpu=False,
        inputs=("generate",),
        config=("verify.grader", "verify.second_grader"),
    ),
    Stage(
        "rationalize",
        "pipeline.stages.rationalize",
        sharded=True,
        gpu=True,
        inputs=("generate", "verify_generated"),
        config=("rationalize", *_WRITING),
        model="previous",
    ),
    Stage(
        "verify_rationalized",
        "pipeline.stages.verify",
        sharded=True,
        gpu=False,
        inputs=("rationalize",),
        config=("verify.grader", "verify.second_grader"),
    ),
    Stage(
        "regenerate",
        "pipeline.stages.regenerate",
        sharded=True,
        gpu=True,
        inputs=("rationalize", "verify_rationalized"),
        config=_WRITING,
        model="previous",
        only_if="rationalize.regenerate",
    ),
    Stage(
        "verify_regenerated",
        "pipeline.stages.verify",
        sharded=True,
        gpu=False,
        inputs=("regenerate",),
        config=("verify.grader", "verify.second_grader"),
        only_if="rationalize.regenerate",
    ),
    Stage(
        "select",
        "pipeline.stages.select",
        sharded=False,
        gpu=False,
        inputs=(
            "generate",
            "verify_generated",
            "rationalize",
            "verify_rationalized",
            "verify_regenerated",
        ),
        previous=("select",),
        config=("select", "prompts", "train.max_length", "train.replay", "seed"),
        flags=True,
    ),
    Stage(
        "train",
        "pipeline.stages.train",
        sharded=False,
        gpu=True,
        inputs=("select",),
        config=("train", "seed"),
        model="previous",
        further=Further(
            "train.variants",
            ("evaluate", "verify.grader", "prompts", "engine", "generate.max_tokens", "generate.stop"),
            inputs=("prepare",),
        ),
    ),
    Stage(
        "evaluate",
        "pipeline.stages.evaluate",
        sharded=True,
        gpu=True,
        inputs=("prepare", "train"),
        config=("evaluate", *_WRITING),
        model="current",
        rounds="every",
    ),
    Stage(
        "verify_evaluated",
        "pipeline.stages.measure",
        sharded=False,
        gpu=False,
        inputs=("evaluate",),
        config=("verify.grader", "verify.second_grader", "evaluate"),
        rounds="every",
    ),
    Stage(
        "check",
        "pipeline.stages.check",
        sharded=False,
        gpu=False,
        inputs=("verify_evaluated",),
        rounds="every",
        always=True,
    ),
    Stage(
        "decide",
        "pipeline.stages.decide",
        sharded=False,
        gpu=False,
        inputs=("check",),
        rounds="every",
        always=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Fused:
    """Stages that one process may run one after another, with one start of the engine.

    Each is begun and committed as it is alone, so the store does not know of it. It takes their place in a
    round where `only_if` is set.
    """

    name: str
    stages: tuple[str, ...]
    only_if: str

    def in_round(self, round_: int, config: ExperimentConfig) -> bool:
        """Whether round `round_` is to be run with it."""
        first = stage_named(self.stages[0])
        return bool(operator.attrgetter(self.only_if)(config)) and first.in_round(round_, config)

    def of_round(self, round_: int, config: ExperimentConfig) -> tuple[Stage, ...]:
        """Those of its stages that the round has, in order; none in round 0."""
        return tuple(stage for stage in stages_of(round_, config) if stage.name in self.stages)

    def of_shard(self, round_: int, config: ExperimentConfig) -> tuple[Stage, ...]:
        """Those that one shard can do by itself: with several, all but the first stand on every shard."""
        stages = self.of_round(round_, config)
        return stages if config.shards == 1 else stages[:1]


WRITE = Fused(
    "write",
    (
        "generate",
        "verify_generated",
        "rationalize",
        "verify_rationalized",
        "regenerate",
        "verify_regenerated",
    ),
    only_if="generate.fuse",
)

_BY_NAME = {stage.name: stage for stage in STAGES}


def stage_named(name: str) -> Stage:
    """The stage of that name; KeyError if there is none."""
    return _BY_NAME[name]


def stages_of(round_: int, config: ExperimentConfig) -> tuple[Stage, ...]:
    """The stages of round `round_` in order."""
    return tuple(stage for stage in STAGES if stage.in_round(round_, config))


def tasks_of(round_: int, config: ExperimentConfig) -> tuple[str, ...]:
    """What an orchestrator runs in round `round_`: its stages, `write` in place of those that it does."""
    names = [stage.name for stage in stages_of(round_, config)]
    if not WRITE.in_round(round_, config):
        return tuple(names)
    fused = {stage.name for stage in WRITE.of_shard(round_, config)}
    place = names.index(WRITE.stages[0])
    return (*names[:place], WRITE.name, *(name for name in names[place:] if name not in fused))
