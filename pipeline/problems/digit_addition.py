"""The STaR paper's n-digit addition with a scratchpad (arXiv 2203.14465, section 4.1 and figure 3).

The scratchpad follows Nye et al. 2021 (arXiv 2112.00114): one line a column, least significant first, the sum
so far behind the comma and the carry behind `C:`; its last line is the sum with its leading carry, zero
included. Both numbers have the same number of digits and may start with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.problems import DigitAdditionSource
from pipeline.problems.question_space import Pairs, SpaceRequest, draw_splits
from pipeline.records import Problem, Split

OPEN, CLOSE = "<scratch>", "</scratch>"


def render_question(pairs: Pairs) -> str:
    """`6 2 4 + 2 5 9` for ((4, 9), (2, 5), (6, 2)): digits apart, so that each is a token of its own."""
    top = " ".join(str(pair[0]) for pair in reversed(pairs))
    bottom = " ".join(str(pair[1]) for pair in reversed(pairs))
    return f"{top} + {bottom}"


def render_answer(pairs: Pairs) -> str:
    """`8 8 3`: as many digits as the numbers have, and a leading 1 where the last column carries."""
    digits, carry = _add(pairs)[-1]
    return " ".join(str(digit) for digit in ([carry] if carry else []) + digits)


def render_scratchpad(pairs: Pairs) -> str:
    """The gold rationale, `<scratch>` lines and the answer line."""
    steps = _add(pairs)
    lines = [f"{render_question(pairs)} , C: 0"]
    for position, (digits, carry) in enumerate(steps):
        left = f"{pairs[position + 1][0]} + {pairs[position + 1][1]} " if position + 1 < len(pairs) else ""
        lines.append(f"{left}, {_spaced(digits)} C: {carry}")
    digits, carry = steps[-1]
    lines.append(f"{carry} {_spaced(digits)}")
    return "\n".join([OPEN, *lines, CLOSE, render_answer(pairs)])


def parse_question(question: str) -> Pairs:
    """The digit pairs of a question. Raises ValueError where it is not one."""
    top, plus, bottom = question.partition(" + ")
    tops, bottoms = top.split(), bottom.split()
    digits = all(len(word) == 1 and word in "0123456789" for word in tops + bottoms)
    if not plus or not tops or len(tops) != len(bottoms) or not digits:
        raise ValueError(f"question {question!r} is not like '6 2 4 + 2 5 9'")
    return tuple((int(a), int(b)) for a, b in zip(reversed(tops), reversed(bottoms), strict=True))


def parse_answer(text: str) -> str | None:
    """The answer of a rationale: its last line after the closed scratchpad, None where there is none."""
    _, closed, rest = text.rpartition(CLOSE)
    lines = rest.split("\n")
    answer = next((line for line in lines if line.strip()), "")
    return " ".join(answer.split()) or None if closed else None


def generate(source: DigitAdditionSource, name: str) -> tuple[list[Problem], list[str]]:
    """The problems of a source, train first, and a sentence a split on what its space gave."""
    request = SpaceRequest(
        name=name,
        unit="digit",
        train=source.train,
        dev=source.dev,
        eval_per_size=source.eval_per_size,
        max_size=source.max_digits,
        seed=source.seed,
        render=render_question,
    )
    drawn, notes = draw_splits(request)
    return [_problem(pairs, split, name) for split, questions in drawn.items() for pairs in questions], notes


def _add(pairs: Pairs) -> list[tuple[list[int], int]]:
    """After each column: the sum digits so far, most significant first, and the carry."""
    steps: list[tuple[list[int], int]] = []
    digits: list[int] = []
    carry = 0
    for top, bottom in pairs:
        carry, digit = divmod(top + bottom + carry, 10)
        digits = [digit, *digits]
        steps.append((digits, carry))
    return steps


def _spaced(digits: Sequence[int]) -> str:
    return " ".join(str(digit) for digit in digits)


def _problem(pairs: Pairs, split: Split, name: str) -> Problem:
    question = render_question(pairs)
    return Problem(
        problem_id=f"digits-{question.replace(' ', '')}",
        split=split,
        question=question,
        answer=render_answer(pairs),
        difficulty=str(len(pairs)),
        source=name,
        solution=render_scratchpad(pairs),
    )
