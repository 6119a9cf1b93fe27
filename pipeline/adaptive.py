"""Adaptive sampling as pure rules: which problems get more samples, how many, and why the others get none.

As in DART-Math (arXiv 2407.13690, its strategy Uniform) hard problems get more trials, until each has as many
correct rationales as wanted or its trials are up. Trials come in waves; a wave depends on nothing but the
verdicts of the waves before it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.config.experiment import AdaptiveConfig
from pipeline.records import Outcome, StopReason

PRIOR = 2.0
"""Samples that the pass rate of a problem's difficulty weighs as in the estimate of its own."""


@dataclass(slots=True)
class Tally:
    """What the samples of one problem came to so far in this round.

    `passed` are correct and complete, of the `graded`: an ungraded sample says nothing about the problem.
    `kept` are those of them that could be kept. `early_` counts are of the first wave.
    """

    problem_id: str
    difficulty: str | None
    samples: int = 0
    tokens: int = 0
    graded: int = 0
    passed: int = 0
    kept: int = 0
    early_graded: int = 0
    early_passed: int = 0
    too_long: bool = False
    _texts: set[str] = field(default_factory=set)

    def add(self, outcome: str, tokens: int, text: str, *, complete: bool, again: bool, early: bool) -> None:
        """Count one sample. `text` names its wording; equal ones count as kept once unless `again`.

        `complete`: it could be kept if correct; `early`: it is of the first wave.
        """
        graded, passed = outcome != Outcome.UNGRADED, outcome == Outcome.CORRECT and complete
        self.samples += 1
        self.tokens += tokens
        self.graded += graded
        self.passed += passed
        self.early_graded += graded and early
        self.early_passed += passed and early
        self.kept += passed and (again or text not in self._texts)
        if passed:
            self._texts.add(text)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the next sample of a problem is expected to be: correct with `rate`, and `tokens` long."""

    rate: float
    tokens: float


def expectations(tallies: Collection[Tally]) -> dict[str, Expected]:
    """By problem: posterior means under a Beta prior around the rate of its difficulty; lengths alike.

    The prior is of the first wave alone, which all problems have had: what is drawn later goes to those that
    failed, and would make all look hard.
    """
    groups: dict[str | None, list[Tally]] = defaultdict(list)
    for tally in tallies:
        groups[tally.difficulty].append(tally)
    found: dict[str, Expected] = {}
    for group in groups.values():
        rate, tokens = _early_rate(group), _mean_length(group)
        for tally in group:
            found[tally.problem_id] = Expected(
                _shrunk(tally.passed, tally.graded, rate), _shrunk(tally.tokens, tally.samples, tokens)
            )
    return found


def stop_reason(tally: Tally, rate: float, config: AdaptiveConfig, samples: int) -> StopReason | None:
    """Why the problem gets no more samples, at most `samples` in all; None: it would, if paid for."""
    if tally.too_long:
        return StopReason.PROMPT_TOO_LONG
    if tally.kept >= config.enough:
        return StopReason.ENOUGH
    if tally.samples >= samples:
        return StopReason.SAMPLES
    if tally.samples >= config.first and rate < config.give_up:
        return StopReason.HOPELESS
    return None


def next_wave(tallies: Sequence[Tally], config: AdaptiveConfig, samples: int) -> dict[str, int]:
    """How many samples the next wave draws of which problem; empty: sampling is over.

    A wave draws half of what a problem is expected to need, so that few are drawn beyond enough, and at most
    as many as it has had, so that an estimate from few samples does not cost many.
    """
    fresh = [tally.problem_id for tally in tallies if tally.samples == 0 and not tally.too_long]
    if fresh:
        return dict.fromkeys(fresh, config.first)
    expected = expectations(tallies)
    left = math.inf
    if config.budget is not None:
        left = config.budget * len(tallies) - sum(tally.tokens for tally in tallies)
    wave: dict[str, int] = {}
    for tally in sorted(tallies, key=lambda tally: _urgency(tally, expected[tally.problem_id])):
        rate, tokens = expected[tally.problem_id].rate, expected[tally.problem_id].tokens
        if stop_reason(tally, rate, config, samples) is not None:
            continue
        half = math.ceil((config.enough - tally.kept) / rate / 2)
        wanted = min(half, tally.samples, samples - tally.samples, _paid(left, tokens))
        if wanted > 0:
            wave[tally.problem_id] = wanted
            left -= wanted * tokens
    return {tally.problem_id: wave[tally.problem_id] for tally in tallies if tally.problem_id in wave}


def stops(
    tallies: Collection[Tally], config: AdaptiveConfig, samples: int
) -> Mapping[str, tuple[StopReason, float]]:
    """Why sampling stopped at each problem, and its estimated pass rate, once there is no next wave."""
    expected = expectations(tallies)
    found: dict[str, tuple[StopReason, float]] = {}
    for tally in tallies:
        rate = expected[tally.problem_id].rate
        reason = stop_reason(tally, rate, config, samples)
        found[tally.problem_id] = (reason or StopReason.BUDGET, rate)
    return found


def _urgency(tally: Tally, expected: Expected) -> tuple[int, float, str]:
    """Problems without a rationale first; of those with equally many, the cheapest next one first."""
    return tally.kept, expected.tokens / expected.rate, tally.problem_id


def _paid(left: float, tokens: float) -> int:
    """Samples of that length that are left to pay for."""
    return 1 << 30 if math.isinf(left) else max(0, int(left / max(tokens, 1.0)))


def _early_rate(tallies: Collection[Tally]) -> float:
    """By Laplace's rule, so that no rate is 0."""
    passed = sum(tally.early_passed for tally in tallies)
    return (passed + 1) / (sum(tally.early_graded for tally in tallies) + 2)


def _mean_length(tallies: Collection[Tally]) -> float:
    return sum(tally.tokens for tally in tallies) / max(1, sum(tally.samples for tally in tallies))


def _shrunk(total: float, count: int, mean: float) -> float:
    return (total + PRIOR * mean) / (count + PRIOR)
