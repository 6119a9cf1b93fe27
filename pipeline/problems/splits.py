"""Draws from the train split: dev problems and few-shot exemplars, by seed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.errors import ConfigError
from pipeline.identity import canonical_json, text_hash
from pipeline.records import Exemplar, Problem


def draw(problems: Sequence[Problem], count: int, seed: int, purpose: str) -> list[Problem]:
    """The `count` problems with the smallest hash of (seed, purpose, id), in that order.

    A draw does not depend on the order of the rows, and stays nearly the same when rows are added.
    """
    ranked = sorted(problems, key=lambda one: text_hash(canonical_json([seed, purpose, one.problem_id])))
    return ranked[:count]


def dev_from_train(train: Sequence[Problem], count: int, seed: int) -> list[Problem]:
    """The train problems that become `dev`. ConfigError if that would leave no train problem."""
    if count and count >= len(train):
        raise ConfigError(
            f"problems.dev_from_train is {count}, but there are {len(train)} train problems to draw from; "
            f"expected fewer than that, for example {max(len(train) // 10, 0)}"
        )
    return draw(train, count, seed, "dev")


def exemplars_from_train(
    train: Sequence[Problem], count: int, seed: int, answer_line: str | None
) -> list[Problem]:
    """The train problems whose gold solutions serve as exemplars: solutions that end with an answer line.

    ConfigError if fewer than `count` train problems have one.
    """
    if not count:
        return []
    fit = [problem for problem in train if _is_exemplary(problem.solution, answer_line)]
    if len(fit) < count:
        ending = f" whose last line matches prompts.answer_line {answer_line!r}" if answer_line else ""
        raise ConfigError(
            f"problems.exemplars_from_train is {count}, but {len(fit)} of {len(train)} train problems have a "
            f"gold solution{ending}; map fields.solution of a train source, or write exemplars in "
            "prompts.few_shot"
        )
    return draw(fit, count, seed, "exemplars")


def as_exemplar(problem: Problem) -> Exemplar:
    """The worked example that a problem with a gold solution makes."""
    return Exemplar(problem.question, (problem.solution or "").strip(), problem.answer, problem.choices)


def _is_exemplary(solution: str | None, answer_line: str | None) -> bool:
    if not solution or not solution.strip():
        return False
    last = solution.strip().splitlines()[-1]
    return answer_line is None or re.search(answer_line, last) is not None
