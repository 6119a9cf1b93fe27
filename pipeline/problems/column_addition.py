"""Column-labelled addition, the demo's task: its text, its gold scratchpad, and its generator.

A question lists columns, least significant first: `a 9 +5 b 4 +2` is 49 + 25. A rationale repeats each
column with its sum digit and its carry, then gives the answer:
`a 9 +5 =4 c1 b 4 +2 =7 c0 Ans: a =4 b =7 c0`.
The carry out of the last column is part of the answer: a scratchpad that ends in a wrong one is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.problems import ColumnAdditionSource
from pipeline.problems.question_space import Pairs, SpaceRequest, draw_splits
from pipeline.records import Problem, Split

LABELS = "abcdefghijklmno"
"""Names of columns. Questions start at `a`; the base's corpus starts anywhere up to `h`."""
ANSWER_MARKER = "Ans:"


@dataclass(frozen=True, slots=True)
class Column:
    """One worked column: the two digits, the sum digit written for them, the carry out."""

    top: int
    bottom: int
    digit: int
    carry: int


def work_out(pairs: Pairs) -> list[Column]:
    """The true scratchpad of an addition, least significant column first."""
    columns: list[Column] = []
    carry = 0
    for top, bottom in pairs:
        carry, digit = divmod(top + bottom + carry, 10)
        columns.append(Column(top, bottom, digit, carry))
    return columns


def render_question(pairs: Pairs, first: int = 0) -> str:
    """`a 4 +9 b 2 +5`: labels start at `LABELS[first]`."""
    return " ".join(f"{LABELS[first + i]} {top} +{bottom}" for i, (top, bottom) in enumerate(pairs))


def render_answer(columns: Sequence[Column], first: int = 0) -> str:
    """`a =3 b =8 c0`: what follows `Ans:`, the carry out of the last column at the end."""
    digits = " ".join(f"{LABELS[first + i]} ={column.digit}" for i, column in enumerate(columns))
    return f"{digits} c{columns[-1].carry}"


def render_rationale(columns: Sequence[Column], first: int = 0) -> str:
    """The scratchpad and its answer: `a 4 +9 =3 c1 b 2 +5 =8 c0 Ans: a =3 b =8 c0`."""
    work = " ".join(
        f"{LABELS[first + i]} {column.top} +{column.bottom} ={column.digit} c{column.carry}"
        for i, column in enumerate(columns)
    )
    return f"{work} {ANSWER_MARKER} {render_answer(columns, first)}"


def parse_question(question: str) -> Pairs:
    """The digit pairs of a question. Raises ValueError where it is not one."""
    words = question.split()
    if not words or len(words) % 3:
        raise ValueError(f"question {question!r} is not made of columns like 'a 4 +9'")
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(words), 3):
        _, top, bottom = words[start : start + 3]
        if not (_is_digit(top) and bottom.startswith("+") and _is_digit(bottom[1:])):
            column = " ".join(words[start : start + 3])
            raise ValueError(f"column {column!r} of question {question!r} is not like 'a 4 +9'")
        pairs.append((int(top), int(bottom[1:])))
    return tuple(pairs)


def parse_rationale(text: str) -> tuple[list[Column], str] | None:
    """The columns and the answer of a rationale, or None where it does not have that form."""
    work, marker, answer = text.partition(ANSWER_MARKER)
    words = work.split()
    if not marker or not words or len(words) % 5:
        return None
    columns: list[Column] = []
    for start in range(0, len(words), 5):
        _, top, bottom, digit, carry = words[start : start + 5]
        shaped = bottom[:1] == "+" and digit[:1] == "=" and carry in ("c0", "c1")
        if not (shaped and _is_digit(top) and _is_digit(bottom[1:]) and _is_digit(digit[1:])):
            return None
        columns.append(Column(int(top), int(bottom[1:]), int(digit[1:]), int(carry[1:])))
    return columns, " ".join(answer.split())


def generate(source: ColumnAdditionSource, name: str) -> tuple[list[Problem], list[str]]:
    """The problems of a source, train first, and a sentence a split on what its space gave."""
    request = SpaceRequest(
        name=name,
        unit="column",
        train=source.train,
        dev=source.dev,
        eval_per_size=source.eval_per_size,
        max_size=source.max_columns,
        seed=source.seed,
        render=render_question,
    )
    drawn, notes = draw_splits(request)
    return [_problem(pairs, split, name) for split, questions in drawn.items() for pairs in questions], notes


def _problem(pairs: Pairs, split: Split, name: str) -> Problem:
    columns = work_out(pairs)
    top = "".join(str(pair[0]) for pair in reversed(pairs))
    bottom = "".join(str(pair[1]) for pair in reversed(pairs))
    return Problem(
        problem_id=f"column-{top}+{bottom}",
        split=split,
        question=render_question(pairs),
        answer=render_answer(columns),
        difficulty=str(len(pairs)),
        source=name,
        solution=render_rationale(columns),
        meta={"sum": f"{top} + {bottom}"},
    )


def _is_digit(text: str) -> bool:
    return len(text) == 1 and text in "0123456789"
