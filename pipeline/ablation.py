"""Arms of an ablation: what differs in each, what a control may spend to spend as much, what can be reused.

The controls answer what a gain of the loop is worth. Each is one round of training from the base, at the
generated tokens and the training steps that the first arm was recorded with: rejection sampling in one shot,
what it wrote without a filter, gold answers without reasoning, gold solutions, and, without training, the
majority vote of the base.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import yaml

from pipeline.config import ExperimentConfig, stage_config
from pipeline.config.section import Section
from pipeline.config.site import NO_PRICES
from pipeline.errors import ConfigError
from pipeline.identity import text_hash
from pipeline.report.ablation import ArmLine
from pipeline.rounds import STAGES, stages_of
from pipeline.store import Store

MOST_VOTES = 64
"""Samples a problem that the majority-vote control draws at most, however large the budget."""
_NAME_LENGTH = 63


@dataclass(frozen=True, slots=True)
class Arm:
    """One setting of an ablation. `settings` are `key=value`, `rounds` None as the config has it.

    `metric` is `accuracy` (greedy) or `maj` (majority vote of samples); `note` says what it is held equal to.
    """

    title: str
    settings: tuple[str, ...]
    rounds: int | None = None
    metric: str = "accuracy"
    note: str = ""

    def experiment(self, name: str, seed: int) -> str:
        """The experiment's name: the same command finds it again."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        end = f"-s{seed}"
        room = _NAME_LENGTH - len(name) - len(end) - 1
        if len(slug) > room:
            slug = f"{slug[: max(room - 7, 0)]}-{text_hash(self.title)[:6]}".strip("-")
        return f"{name}-{slug}{end}"


@dataclass(frozen=True, slots=True)
class Budget:
    """What the first arm spent, and what the base needs for a text; tokens are of completions.

    `problems` is how many train problems it met at most, `measured` how many a vote is taken on.
    """

    sampled_tokens: int
    steps: int
    rounds: int
    problems: int
    measured: int
    tokens_per_sample: float
    tokens_per_answer: float
    solutions: int
    exemplars: bool


def arms_of(variations: Sequence[str], config: ExperimentConfig) -> list[Arm]:
    """Every combination of the values in `key=one,two`, the first of each first; without any, the config.

    A section that can be switched off stands for its `enabled`. Raises ConfigError for another form.
    """
    if not variations:
        return [Arm("star", ())]
    choices = [_choices(variation, config) for variation in variations]
    return [
        Arm(", ".join(title for title, _ in chosen), tuple(setting for _, setting in chosen))
        for chosen in product(*choices)
    ]


def _choices(variation: str, config: ExperimentConfig) -> list[tuple[str, str]]:
    """`rationalize=on,off` as [("rationalize=on", "rationalize.enabled=on"), ...]."""
    key, _, values = variation.partition("=")
    found = [value.strip() for value in re.split(r",(?![^\[{]*[\]}])", values) if value.strip()]
    if not key.strip() or len(found) < 2:
        raise ConfigError(
            f"--vary {variation!r}: expected a key of the config and at least two values, for example "
            "rationalize=on,off or generate.samples=1,4"
        )
    key = key.strip()
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name, None)
    switch = isinstance(value, Section) and "enabled" in type(value).model_fields
    return [(f"{key}={one}", f"{key}{'.enabled' if switch else ''}={one}") for one in found]


def budget_of(store: Store, experiment: str, config: ExperimentConfig) -> Budget:
    """What a finished experiment spent. ConfigError where it trained nothing: nothing can be equal then."""
    costs = store.rows("reports/cost_by_round", experiment=experiment, **NO_PRICES)
    yields = store.rows("reports/yield_by_round", experiment=experiment)
    first = [row for row in yields if (row["round"], row["origin"]) == (1, "generated")]
    lengths = store.rows("reports/lengths_by_round", experiment=experiment)
    answers = [row for row in lengths if row["round"] == 0 and row["purpose"] == "greedy"]
    steps, sampled = (int(sum(row[name] for row in costs)) for name in ("steps", "sampled_tokens"))
    if not (steps and sampled and first and answers):
        raise ConfigError(
            f"experiment {experiment} has sampled {sampled:,} tokens and trained {steps:,} steps: that is no "
            "budget to hold controls to; give it at least one round that trains"
        )
    rounds = sum(1 for row in costs if row["steps"])
    last = max(row["round"] for row in costs)
    problems = store.rows("train_problems", experiment=experiment, round=last)
    drawn = config.generate.problems or len(problems)
    recorded = store.rows("experiment", experiment=experiment)[0]
    ends = store.rows("reports/cut_off_by_round", experiment=experiment)
    measured = max(row["attempts"] for row in ends if row["round"] == 0)  # of one prompt style
    return Budget(
        sampled_tokens=sampled,
        steps=steps,
        rounds=rounds,
        problems=min(len(problems), drawn * rounds),
        measured=int(measured),
        tokens_per_sample=max(first[0]["mean_tokens"], 1.0),
        tokens_per_answer=max(
            sum(row["total_tokens"] for row in answers) / sum(row["attempts"] for row in answers), 1.0
        ),
        solutions=sum(1 for row in problems if row["solution"]),
        exemplars=bool((recorded["exemplars"] or {}).get("generation")),
    )


def controls(budget: Budget, config: ExperimentConfig) -> tuple[list[Arm], list[str]]:
    """The control arms at the budget of the first arm, and why those that cannot be run here are left out."""
    samples = max(1, round(budget.sampled_tokens / budget.tokens_per_sample / budget.problems))
    problems = max(1, min(budget.problems, round(budget.sampled_tokens / budget.tokens_per_sample / samples)))
    fixed = () if config.generate.adaptive is None else ("generate.adaptive=null",)
    temperature = config.generate.temperature or (1.0 if samples > 1 else 0.0)
    trained = (
        *fixed,
        "rationalize.enabled=false",
        "select.reuse_rounds=0",
        "train.start=base",
        "train.schedule=steps",
        f"train.steps={budget.steps}",
    )
    one_shot = (
        f"generate.problems={problems}",
        f"generate.samples={samples}",
        f"generate.temperature={temperature}",
        f"select.per_problem={config.select.per_problem * budget.rounds}",
        *trained,
    )
    drawn = (f"generate.problems={budget.problems}", "generate.samples=1", *trained)
    sampled = f"{problems:,} problems x {samples}, {budget.steps:,} steps"
    arms = [
        Arm("one-shot rejection sampling", one_shot, 1, note=sampled),
        Arm("unfiltered SFT", (*one_shot, "select.filter=none"), 1, note=sampled),
    ]
    left_out = []
    if config.generate.answer_text:
        steps = f"{budget.problems:,} problems, {budget.steps:,} steps"
        arms.append(Arm("answer-only SFT", ("generate.source=gold_answers", *drawn), 1, note=steps))
    else:
        left_out.append(
            "answer-only SFT: set generate.answer_text to how an answer alone is written, for example "
            """--set 'generate.answer_text="#### {answer}"'"""
        )
    if budget.solutions:
        steps = f"{min(budget.problems, budget.solutions):,} problems, {budget.steps:,} steps"
        arms.append(Arm("SFT on gold solutions", ("generate.source=gold_solutions", *drawn), 1, note=steps))
    else:
        left_out.append(
            "SFT on gold solutions: no train problem has one (problems.sources.*.fields.solution)"
        )
    arms.append(_vote(budget, config))
    return arms, left_out


def _vote(budget: Budget, config: ExperimentConfig) -> Arm:
    spread = budget.sampled_tokens / (budget.tokens_per_answer * budget.measured)
    votes = max(2, min(MOST_VOTES, round(spread)))
    style = "few_shot" if budget.exemplars else "zero_shot"
    settings = (
        f"evaluate.style={style}",
        f"evaluate.pass_at_k={{samples: {votes}, temperature: {config.generate.temperature or 0.7}}}",
    )
    note = f"{votes} votes a problem" + (f" (at most {MOST_VOTES})" if spread > MOST_VOTES else "")
    return Arm(f"{style.replace('_', '-')} majority vote of the base", settings, 0, "maj", note)


def shared_rounds(first: ExperimentConfig, arm: ExperimentConfig) -> int | None:
    """The last round that an arm would repeat of the first one, by the stages' configs; None: not even 0.

    Round 1 trains the base whichever of `train.start` is set: the model before it is the base.
    """
    if not _equal(first, arm, {key for stage in stages_of(0, first) for key in stage.config}):
        return None
    every = {key for stage in STAGES for key in stage.config}
    same_start = arm.train.model_copy(update={"start": first.train.start})
    return 1 if _equal(first, arm.model_copy(update={"train": same_start}), every) else 0


def _equal(first: ExperimentConfig, arm: ExperimentConfig, keys: set[str]) -> bool:
    ordered = sorted(keys)
    return stage_config(first, ordered) == stage_config(arm, ordered)


def arm_line(store: Store, arm: Arm, experiments: Sequence[str]) -> ArmLine:
    """What the experiments of an arm, one per seed, came to after their last measured round."""
    ends = [_end(store, arm, experiment) for experiment in experiments]
    columns = {name: tuple(end[name] for end in ends) for name in ends[0]}
    return ArmLine(arm.title, note=arm.note, **columns)


def base_line(store: Store, experiments: Sequence[str]) -> ArmLine:
    """The base before any training, greedy, in the better of its prompt styles."""
    accuracies = tuple(_accuracy(store.rows("rounds_summary", experiment=name)[0]) for name in experiments)
    none = (0,) * len(experiments)
    return ArmLine("the base, untrained", accuracies, none, none, none, none)


def _end(store: Store, arm: Arm, experiment: str) -> dict[str, Any]:
    rounds = [row for row in store.rows("rounds_summary", experiment=experiment) if _measured(row)]
    costs = store.rows("reports/cost_by_round", experiment=experiment, **NO_PRICES)
    last, sampled = rounds[-1], sum(row["sampled_tokens"] for row in costs)
    accuracy = _accuracy(last)
    if arm.metric == "maj":
        accuracy = _majority(store, experiment)
        lengths = store.rows("reports/lengths_by_round", experiment=experiment)
        sampled = sum(row["total_tokens"] for row in lengths if row["purpose"] == "samples")
    return {
        "rounds": int(last["round"]),
        "accuracies": accuracy,
        "sampled_tokens": int(sampled),
        "steps": int(sum(row["steps"] for row in costs)),
        "rows": int(last["training_rows"]),
    }


def _majority(store: Store, experiment: str) -> float:
    rows = [
        row
        for row in store.rows("reports/accuracy_by_round", experiment=experiment)
        if row["metric"].startswith("maj@") and row["difficulty"] == "all"
    ]
    by_split = {row["split"]: float(row["value"]) for row in rows}
    return by_split.get("eval", next(iter(by_split.values())))


def _measured(row: Mapping[str, Any]) -> bool:
    return row["eval_accuracy"] is not None or row["dev_accuracy"] is not None


def _accuracy(row: Mapping[str, Any]) -> float:
    return float(row["eval_accuracy"] if row["eval_accuracy"] is not None else row["dev_accuracy"])


def seed_settings(config: ExperimentConfig, seed: int) -> tuple[str, ...]:
    """The loop's seed, and with a base of our own the base's: what it knows is drawn too."""
    own = (f"model.tiny.seed={seed}",) if config.model.tiny is not None else ()
    return (f"seed={seed}", *own)


def check_settings(settings: Sequence[str]) -> None:
    """ConfigError for a `--set` of a seed: --seeds says which."""
    for setting in settings:
        key, _, value = setting.partition("=")
        if key.strip() in ("seed", "model.tiny.seed"):
            raise ConfigError(f"--set {key.strip()}={yaml.safe_load(value)!r}: say --seeds instead")
