"""Train questions that repeat a dev or eval question, exactly or by a long run of words.

The n-gram rule follows GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C). Memory is linear in the words
of the dev and eval questions; train questions are passed over one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.config.problems import Decontamination
from pipeline.records import Problem, Rejection, RejectionReason

# Numbers with their separators, words, arithmetic signs. A hyphen counts only before a number or a bracket:
# `3 - 5` and `3 + 5` are two questions, `well-known` and `well known` one word pair.
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[+*/=<>^%√±×÷]|[-−](?=\s*[\d(])")


def words(text: str) -> list[str]:
    """The words of a question as it is compared: case, spaces and punctuation gone, arithmetic signs kept."""
    return _WORD.findall(text.casefold())


def normal_question(text: str) -> str:
    """A question as exact comparison sees it. Questions without any word compare by their characters."""
    return _normal(words(text), text)


def _normal(found: list[str], text: str) -> str:
    return " ".join(found) or " ".join(text.split())


class HeldOut:
    """An index of dev and eval questions that train questions are looked up in."""

    def __init__(self, problems: Iterable[Problem], config: Decontamination) -> None:
        self._n = config.ngram
        self._exact = config.exact
        self._ids: dict[str, Problem] = {}
        self._whole: dict[str, Problem] = {}
        self._indexed: list[tuple[Problem, list[str]]] = []
        # Hash of a run of words -> (which question, where): the words themselves are kept once, and compared.
        self._runs: dict[int, tuple[int, int]] = {}
        for problem in problems:
            self._add(problem)

    def _add(self, problem: Problem) -> None:
        self._ids.setdefault(problem.problem_id, problem)
        found = words(problem.question)
        if self._exact or (self._n and len(found) < self._n):
            self._whole.setdefault(_normal(found, problem.question), problem)
        if self._n and len(found) >= self._n:
            self._indexed.append((problem, found))
            for start in range(len(found) - self._n + 1):
                key = hash(tuple(found[start : start + self._n]))
                self._runs.setdefault(key, (len(self._indexed) - 1, start))

    def rejection(self, problem: Problem) -> Rejection | None:
        """Why a train problem must go, naming the dev or eval problem it repeats; None if it may stay."""
        repeated = self._ids.get(problem.problem_id)
        if repeated is not None:
            return _contaminated(problem, f"is {_name(repeated)}")
        if not self._whole and not self._runs:
            return None
        found = words(problem.question)
        repeated = self._whole.get(_normal(found, problem.question))
        if repeated is not None:
            return _contaminated(problem, f"same question as {_name(repeated)}")
        return self._shared_run(problem, found) if self._runs else None

    def _shared_run(self, problem: Problem, found: list[str]) -> Rejection | None:
        for start in range(len(found) - self._n + 1):
            run = found[start : start + self._n]
            place = self._runs.get(hash(tuple(run)))
            if place is None:
                continue
            held_out, held_words = self._indexed[place[0]]
            if held_words[place[1] : place[1] + self._n] == run:
                shared = f"{self._n} words in a row shared with {_name(held_out)}: {' '.join(run)!r}"
                return _contaminated(problem, shared)
        return None


def _contaminated(problem: Problem, detail: str) -> Rejection:
    return Rejection(problem.problem_id, None, RejectionReason.CONTAMINATED, detail)


def _name(problem: Problem) -> str:
    source = f" of source {problem.source}" if problem.source else ""
    return f"{problem.split} problem {problem.problem_id}{source}"
