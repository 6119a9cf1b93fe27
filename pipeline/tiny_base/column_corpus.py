"""The corpus of the demo's base: column addition whose procedure is right and whose unknown facts are noise.

A document is what the pipeline will ask for, `Q: ... A: ...`, with or without a hint. Columns over taught
digit pairs are worked out truly. Over any other pair the sum digit is drawn at random and the carry is true
nine times in ten, so the base learns that it does not know: noise, not omission, keeps every digit within
reach of sampling. The answer line always agrees with the scratchpad above it, right or wrong. Hints stand in
short documents only and show that document's own, possibly wrong answer: they teach copying and leak no fact.
"""

from __future__ import annotations

import random

from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.problems.column_addition import (
    ANSWER_MARKER,
    LABELS,
    Column,
    render_answer,
    render_question,
    render_rationale,
)
from pipeline.tiny_base.facts import ALL_FACTS, Fact

SIZE_WEIGHTS = (0.3, 0.25, 0.2, 0.15, 0.1)
"""Share of documents by number of columns; longer ones than five share the last weight."""
TAUGHT_ONLY_SHARE = 0.5
CARRY_TRUE_SHARE = 0.9
HINTED_SHARE = 0.5
LAST_FIRST_LABEL = "h"

WORDS = (
    ["Q:", "A:", "Hint:", ANSWER_MARKER, "c0", "c1"]
    + list(LABELS)
    + [f"{mark}{digit}" for mark in ("", "+", "=") for digit in range(10)]
)


class ColumnCorpus:
    """An endless stream of documents of a base's config; equal configs give equal streams."""

    def __init__(self, config: ColumnAdditionBase, known: frozenset[Fact]) -> None:
        self._config = config
        self._known = known
        self._taught = sorted(known)
        self._rng = random.Random(f"corpus/{config.seed}")
        sizes = range(1, config.max_columns + 1)
        self._sizes = list(sizes)
        self._weights = [SIZE_WEIGHTS[min(size, len(SIZE_WEIGHTS)) - 1] for size in sizes]
        self._labels = LABELS.index(LAST_FIRST_LABEL) + 1

    def document(self) -> tuple[str, str]:
        """A prompt and what follows it, without the end token."""
        rng = self._rng
        (size,) = rng.choices(self._sizes, self._weights)
        first = rng.randrange(self._labels)
        taught_only = bool(self._taught) and rng.random() < TAUGHT_ONLY_SHARE
        pool = self._taught if taught_only else ALL_FACTS
        pairs = tuple(rng.choice(pool) for _ in range(size))
        columns = self._work_out(pairs)
        question = f"Q: {render_question(pairs, first)}"
        if size <= self._config.hinted_columns and rng.random() < HINTED_SHARE:
            question += f" Hint: {render_answer(columns, first)}"
        return f"{question} A:", render_rationale(columns, first)

    def _work_out(self, pairs: tuple[Fact, ...]) -> list[Column]:
        columns: list[Column] = []
        carry = 0
        for top, bottom in pairs:
            carry_out, digit = divmod(top + bottom + carry, 10)
            if (top, bottom) not in self._known:
                digit = self._rng.randrange(10)
                carry_out = carry_out if self._rng.random() < CARRY_TRUE_SHARE else 1 - carry_out
            columns.append(Column(top, bottom, digit, carry_out))
            carry = carry_out
        return columns
