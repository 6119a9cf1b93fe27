"""Measures of accuracy with their intervals: pure functions of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its confidence interval, all from 0 to 1."""

    value: float
    low: float
    high: float


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Share:
    """Wilson score interval (Wilson 1927); with no trials the whole of [0, 1].

    Fractions of a trial are for attempts that are not independent: as many trials as they are worth.
    """
    if trials == 0:
        return Share(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Share(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Share:
    """Mean of per-problem values in [0, 1] with its normal interval, clipped to [0, 1]."""
    count = len(values)
    if count == 0:
        return Share(0.0, 0.0, 1.0)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / max(count - 1, 1)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * sqrt(variance / count)
    return Share(mean, max(0.0, mean - half), min(1.0, mean + half))


def paired_difference(before: Sequence[bool], after: Sequence[bool], confidence: float = 0.95) -> Share:
    """Difference of two accuracies on the same problems, `after` minus `before`, in [-1, 1].

    Normal interval of the paired difference, from the discordant pairs as in McNemar's test (1947).
    Raises ValueError where the two are not of one length.
    """
    if len(before) != len(after):
        raise ValueError(
            f"paired difference of {len(before)} and {len(after)} problems: expected the same problems"
        )
    count = len(before)
    if count == 0:
        return Share(0.0, -1.0, 1.0)
    gained = sum(1 for old, new in zip(before, after, strict=True) if new and not old)
    lost = sum(1 for old, new in zip(before, after, strict=True) if old and not new)
    value = (gained - lost) / count
    half = (
        NormalDist().inv_cdf(0.5 + confidence / 2)
        * sqrt(max(gained + lost - (gained - lost) ** 2 / count, 0))
        / count
    )
    return Share(value, max(-1.0, value - half), min(1.0, value + half))


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is correct (Chen et al. 2021, arXiv 2107.03374).

    Needs a fixed number of samples a problem, at least k; ValueError otherwise.
    """
    if samples < k:
        raise ValueError(f"pass@{k} needs at least {k} samples, got {samples}")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def majority(answers: Sequence[str | None]) -> int | None:
    """Index of the first attempt that gives the most frequent answer, None where nothing was parsed.

    Attempts without an answer have no vote; a problem without any vote counts as not solved.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return None
    best = max(votes.values())
    return next(index for index, answer in enumerate(answers) if answer is not None and votes[answer] == best)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947); 1.0 where no pair is discordant.

    How likely a split of the discordant pairs at least as uneven is, if either way is equally likely.
    """
    pairs = gained + lost
    ways = tail = 1
    for count in range(min(gained, lost)):
        ways = ways * (pairs - count) // (count + 1)  # comb(pairs, count + 1) from the one before: exact
        tail += ways
    return min(1.0, tail / (1 << pairs) * 2)
