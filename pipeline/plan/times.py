"""How long the stages of a round take, by how long those of a pilot took for what they had to do."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import ExperimentConfig
from pipeline.plan.estimate import NOTHING, Estimate, total
from pipeline.plan.measured import Measured
from pipeline.plan.work import Work
from pipeline.rounds import stage_named


def stage_seconds(measured: Measured, stage: str, round_: int, work: Work, steps: Estimate) -> Estimate:
    """Wall time of a stage: writing goes by its tokens, grading by its attempts, training by its steps."""
    if stage == "train":
        return _train_seconds(measured, steps)
    if stage in work.tokens:
        return _writing_seconds(measured, stage, round_, work)
    written_by = stage_named(stage).inputs[:1] if stage.startswith("verify") else ()
    run = _run_like(measured, stage, round_)
    if run is None:
        return NOTHING
    attempts = [work.attempts[name] for name in written_by]
    if stage == "select":
        attempts = [each for name, each in work.attempts.items() if name != "evaluate"]
    if not attempts or not run["rows_in"]:
        return Estimate.exact(run["seconds"] or 0.0)
    return total(attempts).times(run["seconds"] / run["rows_in"])


def _run_like(measured: Measured, stage: str, round_: int) -> Mapping[str, float] | None:
    """The pilot's execution of a stage: of round 0, or of round 1 for it and what follows."""
    own = measured.runs.get((min(round_, 1), stage))
    return own or measured.runs.get((0, stage))


def _writing_seconds(measured: Measured, stage: str, round_: int, work: Work) -> Estimate:
    """Start of the engine where another model comes; the engine's time by tokens, the rest by texts."""
    source = stage if work.attempts[stage].high and _wrote(measured, stage) else "generate"
    run = _run_like(measured, source, round_)
    if run is None or not run["engine_tokens"]:
        return NOTHING
    loads = _loads(measured.config, stage, round_)
    started = measured.facts.first_load_seconds if source == _first_written(measured) else 0.0
    rest = max(0.0, run["seconds"] - run["engine_seconds"] - started) / max(run["rows_in"], 1)
    load = measured.facts.first_load_seconds if round_ == 0 else measured.facts.load_seconds
    writing = work.tokens[stage].times(run["engine_seconds"] / run["engine_tokens"])
    return Estimate.exact(loads * load) + writing + work.attempts[stage].times(rest)


def _wrote(measured: Measured, stage: str) -> bool:
    run = measured.runs.get((1, stage)) or measured.runs.get((0, stage))
    return bool(run and run["engine_tokens"])


def _first_written(measured: Measured) -> str:
    """The stage in which the pilot started the engine for the first time."""
    return "evaluate" if _wrote(measured, "evaluate") else "generate"


def _loads(config: ExperimentConfig, stage: str, round_: int) -> int:
    """How often a stage of `star run` starts an engine: one is kept as long as its model is asked for."""
    by_base = config.rationalize.model == "base" and round_ > 1
    if stage == "evaluate":
        return 1
    return 1 if by_base and stage in ("rationalize", "regenerate") else 0


def _train_seconds(measured: Measured, steps: Estimate) -> Estimate:
    """Start of the child and its first step once, then a second for each step as the timed ones took."""
    run = measured.trained
    if run is None:
        return NOTHING
    first = run["detail"]["first_step_seconds"]
    timed = max(run["detail"]["steps"] - 1, 1)
    each = (run["engine_seconds"] - first) / timed
    start = run["seconds"] - run["engine_seconds"] + first

    def seconds(count: float) -> float:
        return start + max(count - 1, 0) * each if count else 0.0

    return Estimate(seconds(steps.value), seconds(steps.low), seconds(steps.high))
