"""Adaptive sampling: waves of samples, each graded before the next is planned by the rules of `adaptive`.

Each wave is a sampling of its own in a folder of its own, and its verdicts are written ahead for the stage
that verifies: a run that was killed plans the same waves again, and nobody asks for or grades again what is
there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adaptive import Tally, next_wave, stops
from pipeline.config.experiment import AdaptiveConfig
from pipeline.counted import counted
from pipeline.graders import Grading, item_key, open_grading
from pipeline.records import FinishReason, Origin, Problem, Prompt, Purpose, Sampling, Verdict
from pipeline.sampling import Ask, Sampler
from pipeline.stages.ahead import Ahead
from pipeline.stages.base import StageContext
from pipeline.stages.grading import grade_item, with_problem
from pipeline.stages.writing import sample


@dataclass(frozen=True, slots=True)
class Waves:
    """Finished waves, and why sampling stopped at each problem (rows of the table sampling_stops)."""

    samplers: Sequence[Sampler]
    stops: Sequence[Mapping[str, Any]]
    most: int

    @property
    def subject(self) -> str:
        """`600 problems x at most 4 in 3 waves (410 enough, 190 samples)`."""
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in self._reasons.most_common())
        waves = counted(len(self.samplers), "wave")
        text = f"{counted(len(self.stops), 'problem')} x at most {self.most} in {waves}"
        return f"{text} ({reasons})" if reasons else text

    @property
    def tables(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return {"sampling_stops": self.stops}

    @property
    def detail(self) -> Mapping[str, Any]:
        return {"waves": len(self.samplers), "stops": dict(self._reasons)}

    @property
    def _reasons(self) -> Counter[str]:
        return Counter(str(row["reason"]) for row in self.stops)


def sample_in_waves(
    ctx: StageContext,
    problems: Sequence[Problem],
    prompt: Callable[[Problem], Prompt],
    sampling: Sampling,
    config: AdaptiveConfig,
) -> Waves:
    """Sample the problems until each has enough correct rationales, or no more of them is worth it."""
    most, verify = ctx.config.generate.samples, ctx.config.verify
    tallies = {problem.problem_id: Tally(problem.problem_id, problem.difficulty) for problem in problems}
    by_id = {problem.problem_id: problem for problem in problems}
    samplers: list[Sampler] = []
    ahead = Ahead(ctx)
    known = ahead.verdicts(verify.grader)
    with open_grading(verify.grader, verify.workers, known) as grading:
        while wave := next_wave(list(tallies.values()), config, most):
            drawn = {name: (tallies[name].samples, number) for name, number in wave.items()}
            asks = _asks(drawn, by_id, prompt)
            part = f"wave-{len(samplers):03d}"
            samplers.append(sample(ctx, asks, sum(wave.values()), Origin.GENERATED, sampling, part=part))
            known.update(ahead.verdicts(verify.grader))  # of a fused stage: graded while they were written
            outcomes = _outcomes(samplers[-1], by_id, grading, known, ahead)
            _count(ctx, tallies, samplers[-1], outcomes, early=len(samplers) == 1)
    reasons = stops(tallies.values(), config, most)
    return Waves(samplers, [_stop_row(tally, *reasons[name]) for name, tally in tallies.items()], most)


def _asks(
    drawn: Mapping[str, tuple[int, int]],
    problems: Mapping[str, Problem],
    prompt: Callable[[Problem], Prompt],
) -> Iterator[Ask]:
    """Samples numbered on from those that a problem has, so that sample i is the same in whatever wave."""
    for name, (first, number) in drawn.items():
        rendered = prompt(problems[name])
        for index in range(first, first + number):
            yield Ask(problems[name], rendered, index, Purpose.TRAINING)


def _outcomes(
    sampler: Sampler,
    problems: Mapping[str, Problem],
    grading: Grading,
    known: dict[str, Verdict],
    ahead: Ahead,
) -> dict[str, str]:
    """Outcome by rationale of a wave. What had to be graded joins `known` and what is written ahead."""
    items = [grade_item(with_problem(row, problems[row["problem_id"]])) for row in sampler.attempts()]
    verdicts = dict(zip(map(item_key, items), grading.grade(items), strict=True))
    fresh = {key: verdict for key, verdict in verdicts.items() if key not in known}
    if fresh:
        ahead.flush_verdicts(grading.digest, fresh.items())
        known.update(fresh)
    return {verdict.key: verdict.outcome for verdict in verdicts.values()}


def _count(
    ctx: StageContext,
    tallies: Mapping[str, Tally],
    sampler: Sampler,
    outcomes: Mapping[str, str],
    *,
    early: bool,
) -> None:
    select = ctx.config.select
    for row in sampler.attempts():
        tallies[row["problem_id"]].add(
            outcomes[row["rationale_id"]],
            row["completion_tokens"],
            row["norm_hash"],
            complete=select.cut_off or row["finish_reason"] != FinishReason.LENGTH,
            again=select.duplicates,
            early=early,
        )
    for rejection in sampler.rejections():
        tallies[rejection.problem_id].too_long = True


def _stop_row(tally: Tally, reason: str, rate: float) -> dict[str, Any]:
    return {
        "problem_id": tally.problem_id,
        "difficulty": tally.difficulty,
        "samples": tally.samples,
        "correct": tally.kept,
        "tokens": tally.tokens,
        "pass_rate": rate,
        "reason": reason,
    }
