"""How many of a round's problems each source gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.records import Problem


def parts_by_share(
    problems: Sequence[Problem], wanted: int, shares: Mapping[str, float]
) -> Iterator[tuple[Sequence[Problem], int]]:
    """The problems of each source that has a share, with their number of `wanted`; then all others, with the
    rest. Without shares: all problems and `wanted`."""
    left = wanted
    for source, share in shares.items():
        number = min(round(wanted * share), left)
        left -= number
        yield [problem for problem in problems if problem.source == source], number
    yield [problem for problem in problems if problem.source not in shares], left
