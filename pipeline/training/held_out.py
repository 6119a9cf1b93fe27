"""Which problems of a training set are held out, to see by their rows when training stops to help."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.identity import seed_of


def held_out_problems(problem_ids: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """`share` of the distinct problems, drawn by `seed`: at least one, never all; of a single one, none.

    A problem's lot is the same in every round, so that one that was held out mostly stays so.
    """
    problems = sorted(set(problem_ids), key=lambda problem: seed_of(seed, 0, "held_out", problem, 0))
    if len(problems) < 2:
        return frozenset()
    return frozenset(problems[: min(len(problems) - 1, max(1, round(share * len(problems))))])
