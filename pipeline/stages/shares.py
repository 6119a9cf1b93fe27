"""How many of a round's problems each source gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar


class Drawable(Protocol):
    """What a draw goes by."""

    @property
    def problem_id(self) -> str: ...
    @property
    def difficulty(self) -> str | None: ...
    @property
    def source(self) -> str: ...


DrawableT = TypeVar("DrawableT", bound=Drawable)


def parts_by_share(
    problems: Sequence[DrawableT], wanted: int, shares: Mapping[str, float]
) -> Iterator[tuple[Sequence[DrawableT], int]]:
    """The problems of each source that has a share, with their number of `wanted`; then all others, with the
    rest. Without shares: all problems and `wanted`."""
    left, shared = wanted, 0.0
    for source, share in shares.items():
        shared += share
        number = min(left, round(wanted * shared) - (wanted - left))  # so that nothing is lost by rounding
        left -= number
        yield [problem for problem in problems if problem.source == source], number
    yield [problem for problem in problems if problem.source not in shares], left
