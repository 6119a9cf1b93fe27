"""A sweep: trainings of one round on the same rows, of which the best on dev becomes the round's model."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.experiment import TrainConfig, TrainVariant
from pipeline.engines.adapters import is_adapter
from pipeline.errors import DivergedError
from pipeline.measures import Share
from pipeline.records import Problem, Split
from pipeline.stages.base import Model, StageContext
from pipeline.stages.dev import check_dev_problems
from pipeline.stages.measuring import greedy_accuracy, problems_measured
from pipeline.training import TrainResult, TrainSpec, remove_checkpoint, train


@dataclass(slots=True)
class Candidate:
    """One training of a sweep and what it came to; `trained` None where it diverged, for the reason `failed`.

    `dev` is its greedy accuracy where there are dev problems; `seconds` are those of training and measuring.
    """

    name: str
    config: TrainConfig
    trained: TrainResult | None = None
    failed: str | None = None
    dev: Share | None = None
    seconds: float = 0.0

    @property
    def held_out_loss(self) -> float | None:
        """The lowest on held-out rows: that of the weights kept."""
        losses = self.trained.held_out_losses if self.trained else []
        return min((loss for _, loss in losses), default=None)

    def as_fields(self, taken: Candidate) -> dict[str, Any]:
        """For the record of the stage."""
        trained = self.trained
        return {
            "variant": self.name,
            "learning_rate": self.config.learning_rate,
            "epochs": self.config.epochs,
            "dev_accuracy": self.dev and self.dev.value,
            "dev_low": self.dev and self.dev.low,
            "dev_high": self.dev and self.dev.high,
            "held_out_loss": self.held_out_loss,
            "loss": trained and trained.loss,
            "steps": trained and trained.steps,
            "seconds": round(self.seconds, 3),
            "content_hash": trained and trained.content_hash,
            "taken": self is taken,
            "failed": self.failed,
        }


def variant_name(index: int) -> str:
    """Folder and name of variant `index` (from 0) of `train.variants`."""
    return f"variant-{index + 1}"


def changes_of(variant: TrainVariant) -> str:
    """`learning_rate 0.001, epochs 3`."""
    return ", ".join(f"{name} {value:g}" for name, value in variant.model_dump(exclude_none=True).items())


def best_of(ctx: StageContext, specs: Sequence[TrainSpec]) -> tuple[Candidate, list[Candidate]]:
    """Train and measure the variants; the best of them, and all.

    The weights of the others are removed. Raises ConfigError where nothing can tell which is best, and
    DivergedError where every variant diverged.
    """
    problems = problems_measured(ctx, Split.DEV)
    check_dev_problems(ctx.config, len(problems))
    candidates = [_trained(ctx, index, spec) for index, spec in enumerate(specs)]
    alive = [each for each in candidates if each.trained is not None]
    if not alive:
        told = "; ".join(f"{each.name}: {each.failed}" for each in candidates)
        raise DivergedError(f"every variant of train.variants diverged: {told}")
    if problems:
        for each in alive:
            _measure(ctx, each, problems)
        ctx.engines.close()
    best = max(alive, key=_standing)
    for each in alive:
        if each.trained is not None and best.trained is not None and each is not best:
            remove_checkpoint(each.trained.path)
    return best, candidates


def _trained(ctx: StageContext, index: int, spec: TrainSpec) -> Candidate:
    assert ctx.config.train.variants is not None, "a sweep has variants"
    changes = changes_of(ctx.config.train.variants[index])
    ctx.progress.note(f"variant {index + 1} of {len(ctx.config.train.variants)}: {changes}")
    candidate = Candidate(variant_name(index), spec.config)
    started = time.monotonic()
    try:
        candidate.trained = train(spec, ctx.progress)
    except DivergedError as error:
        candidate.failed = str(error)
        ctx.progress.note(f"{candidate.name} is out: {error}")
    candidate.seconds = time.monotonic() - started
    return candidate


def _measure(ctx: StageContext, candidate: Candidate, problems: Sequence[Problem]) -> None:
    assert candidate.trained is not None, "only what was trained is measured"
    started = time.monotonic()
    path = candidate.trained.path
    model = Model(path, candidate.trained.content_hash, ctx.base if is_adapter(path) else None)
    candidate.dev = greedy_accuracy(ctx, problems, model, candidate.name)
    candidate.seconds += time.monotonic() - started
    ctx.progress.note(
        f"{candidate.name}: {candidate.dev.value:.1%} of {len(problems):,} dev problems, "
        f"loss {candidate.trained.loss:.3f}"
    )


def _standing(candidate: Candidate) -> tuple[float, float]:
    """The greater the better; `max` takes the first of equals."""
    held_out = candidate.held_out_loss
    return (
        candidate.dev.value if candidate.dev is not None else 0.0,
        -math.inf if held_out is None else -held_out,
    )
