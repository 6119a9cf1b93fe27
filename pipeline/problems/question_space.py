"""Spaces of generated questions: a split that is a function of the text, distinct draws from each split.

A generated task need not compare train with eval questions afterwards: the two come from parts of the space
that are disjoint for good, whatever the seed and the counts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from pipeline.records import Split

EVAL_PERCENT = 30
DEV_PERCENT = 10
# Chosen so that a one-column space, of just 100 questions, has at least 30 for eval and 10 for dev.
_SALT = b"question-space-298"

Pairs = tuple[tuple[int, int], ...]
"""Digit pairs of an addition, least significant column first: 49 + 25 is ((9, 5), (4, 2))."""


def split_of(question: str) -> Split:
    """The split of a generated question, by a hash of its text alone: 30% eval, 10% dev, 60% train."""
    hashed = hashlib.blake2b(question.encode(), digest_size=8, key=_SALT).digest()
    percentile = int.from_bytes(hashed, "big") % 100
    if percentile < EVAL_PERCENT:
        return Split.EVAL
    return Split.DEV if percentile < EVAL_PERCENT + DEV_PERCENT else Split.TRAIN


def share_out(total: int, capacities: Mapping[int, int]) -> dict[int, int]:
    """`total` spread over sizes as evenly as their capacities allow; less than `total` if all are full.

    Small sizes are filled first, and what they cannot take goes to the larger ones.
    """
    shares: dict[int, int] = {}
    left = total
    by_capacity = sorted(capacities, key=lambda size: (capacities[size], size))
    for position, size in enumerate(by_capacity):
        even = left // (len(by_capacity) - position)
        shares[size] = min(even, capacities[size])
        left -= shares[size]
    return shares


def split_capacity(size: int, split: Split, render: Callable[[Pairs], str]) -> int:
    """How many questions of `size` columns may be drawn: all of them up to two columns, about half above."""
    if size <= 2:
        return len(_members(size, split, render))
    percent = {Split.EVAL: EVAL_PERCENT, Split.DEV: DEV_PERCENT}.get(split, 100 - EVAL_PERCENT - DEV_PERCENT)
    return int(100**size * percent / 100 / 2)


def draw_distinct(
    size: int, split: Split, count: int, render: Callable[[Pairs], str], rng: random.Random
) -> list[Pairs]:
    """`count` distinct questions of `size` columns from a split; `count` is at most `split_capacity`."""
    if size <= 2:
        return rng.sample(_members(size, split, render), count)
    drawn: dict[Pairs, None] = {}
    while len(drawn) < count:
        pairs = tuple((rng.randrange(10), rng.randrange(10)) for _ in range(size))
        if split_of(render(pairs)) is split:
            drawn[pairs] = None
    return list(drawn)


@dataclass(frozen=True, slots=True)
class SpaceRequest:
    """What a generated source asks of its space. `render` turns digit pairs into the question's text."""

    name: str
    unit: str
    train: int
    dev: int
    eval_per_size: Mapping[int, int]
    max_size: int
    seed: int
    render: Callable[[Pairs], str]


def draw_splits(request: SpaceRequest) -> tuple[dict[Split, list[Pairs]], list[str]]:
    """Distinct questions per split, train in a shuffled order, and a sentence for each split on what it got.

    Each split and size is drawn by a seed of its own, so that other counts elsewhere leave it as it is.
    """
    sizes = range(1, request.max_size + 1)
    drawn: dict[Split, list[Pairs]] = {}
    notes: list[str] = []
    for split, total in ((Split.TRAIN, request.train), (Split.DEV, request.dev), (Split.EVAL, None)):
        room = {size: split_capacity(size, split, request.render) for size in sizes}
        if total is None:
            wanted = {size: count for size, count in request.eval_per_size.items() if size in room}
            shares = {size: min(count, room[size]) for size, count in wanted.items()}
        else:
            shares = share_out(total, room)
            wanted = {size: -(-total // len(room)) for size in room}
        drawn[split] = [
            pairs for size in sorted(shares) for pairs in _draw(request, split, size, shares[size])
        ]
        asked = sum(wanted.values()) if total is None else total
        if asked:
            notes.append(_note(request, split, asked, shares, room, wanted))
    random.Random(request.seed).shuffle(drawn[Split.TRAIN])
    return drawn, notes


def _draw(request: SpaceRequest, split: Split, size: int, count: int) -> list[Pairs]:
    rng = random.Random(f"{request.seed}/{split.value}/{size}")
    return draw_distinct(size, split, count, request.render, rng)


def _note(
    request: SpaceRequest,
    split: Split,
    asked: int,
    shares: Mapping[int, int],
    room: Mapping[int, int],
    wanted: Mapping[int, int],
) -> str:
    """`add: 3,600 train questions: 58 of 1 column (all its space has), 885 of 2 columns, ...`."""
    parts: list[str] = []
    for size, count in sorted(shares.items()):
        short = " (all its space has in this split)" if count == room[size] and count < wanted[size] else ""
        parts.append(f"{count:,} of {size} {request.unit}{'s' if size > 1 else ''}{short}")
    got = sum(shares.values())
    less = f" instead of the {asked:,} asked for" if got < asked else ""
    return f"{request.name}: {got:,} {split.value} questions{less}: {', '.join(parts)}"


def _members(size: int, split: Split, render: Callable[[Pairs], str]) -> list[Pairs]:
    digit_pairs = [(top, bottom) for top in range(10) for bottom in range(10)]
    return [pairs for pairs in product(digit_pairs, repeat=size) if split_of(render(pairs)) is split]
