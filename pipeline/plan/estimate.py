"""A number with its interval, and how intervals come from a sample of problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.measures import wilson

CONFIDENCE = 0.95
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected, and from where to where it may come out."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A number that is known."""
        return cls(value, value, value)

    def __add__(self, other: Estimate) -> Estimate:
        """The sum; its ends are those of both, as if they were wrong in the same direction."""
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Estimate:
        """Every end times a factor that is known and not negative."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def by(self, other: Estimate) -> Estimate:
        """The product of two estimates that are not negative."""
        return Estimate(self.value * other.value, self.low * other.low, self.high * other.high)

    def or_as(self, other: Estimate) -> Estimate:
        """This value, with ends that reach as far as the other's."""
        return Estimate(self.value, min(self.low, other.low), max(self.high, other.high))

    def holds(self, value: float) -> bool:
        """Whether `value` lies within the ends (up to rounding)."""
        slack = 1e-6 * max(1.0, abs(value))
        return self.low - slack <= value <= self.high + slack


NOTHING = Estimate.exact(0.0)
Numbers = npt.NDArray[np.float64]


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of several."""
    return sum(estimates, NOTHING)


def share(part: float, whole: float, units: float) -> Estimate:
    """A rate with its Wilson interval at `units` trials: attempts at one problem are not independent."""
    found = wilson(part / whole * units if whole else 0.0, units if whole else 0.0, CONFIDENCE)
    return Estimate(found.value, found.low, found.high)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of problems by stratum, and how many problems of each a round draws."""

    strata: tuple[str, ...]
    drawn: Mapping[str, int]

    @property
    def problems(self) -> int:
        """Problems of a round."""
        return sum(self.drawn.values())

    def sum_over_round(self, values: Sequence[float]) -> Estimate:
        """What values of the sampled problems add up to over a round: stratified mean, bootstrap interval."""
        return _estimate(*self._resampled(values))

    def mean_over_round(self, values: Sequence[float], counts: Sequence[float]) -> Estimate:
        """The mean of what `values` are the sums of, and `counts` the numbers: a ratio, and its interval."""
        (value, sums), (number, numbers) = self._resampled(values), self._resampled(counts)
        found = numbers > 0
        return _estimate(value / number, sums[found] / numbers[found])

    def _resampled(self, values: Sequence[float]) -> tuple[float, Numbers]:
        """The sum over a round, and the sums that resampled problems give: the same ones of every column."""
        numbers = np.asarray(values, dtype=float)
        random = np.random.default_rng(0)
        value, sums = 0.0, np.zeros(_RESAMPLES)
        for stratum, problems in self.drawn.items():
            mine = numbers[[index for index, name in enumerate(self.strata) if name == stratum]]
            if len(mine) == 0:  # too few problems to have met one: as the others
                mine = numbers
            value += problems * float(mine.mean())
            sums += problems * mine[random.integers(len(mine), size=(_RESAMPLES, len(mine)))].mean(axis=1)
        return value, sums

    def count_over_round(self, counts: Sequence[int]) -> Estimate:
        """As `sum_over_round`, of counts that may all be 0 here: Wilson says what that leaves open."""
        found = self.sum_over_round(counts)
        having = [count for count in counts if count]
        each = sum(having) / len(having) if having else 1.0
        rate = share(len(having), len(counts), len(counts))
        scale = self.problems * each
        widened = Estimate(
            found.value,
            max(0.0, found.value - scale * (rate.value - rate.low)),
            found.value + scale * (rate.high - rate.value),
        )
        return found.or_as(widened)


def _estimate(value: float, resampled: Numbers) -> Estimate:
    """The value with the middle of what resampling gave."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Estimate(value, min(value, float(low)), max(value, float(high)))
