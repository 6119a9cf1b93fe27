"""Rows of attempts in, rows of verdicts out: shared by the stages that grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipeline.config.graders import GraderConfig
from pipeline.config.of_source import deciding_graders, own_graders
from pipeline.counted import counted
from pipeline.graders import grader_digest, open_grading
from pipeline.records import GradeItem, Origin, Outcome, Problem, Verdict
from pipeline.stages.ahead import Ahead
from pipeline.stages.base import StageContext


def grade_item(row: Mapping[str, Any]) -> GradeItem:
    """What the grader sees of a row that joins an attempt with its problem."""
    choices = row["choices"] or {}
    meta = row["meta"] or {}
    item = {
        **meta,
        "question": row["question"],
        "answer": row["gold"],
        "choices": choices,
        "solution": row["solution"],
    }
    return GradeItem(
        key=row["rationale_id"],
        answer=row["gold"],
        response=row["text"],
        question=row["question"],
        choices=choices,
        origin=Origin(row["origin"]),
        hint=row["hint"],
        item=item,
    )


def with_problem(attempt: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    """The columns that `grade_item` reads, of an attempt that is not in the store yet."""
    return {
        **attempt,
        "question": problem.question,
        "gold": problem.answer,
        "choices": problem.choices,
        "solution": problem.solution,
        "meta": problem.meta,
    }


class Grades:
    """Grades attempts with the experiment's grader, and with the second one where there is one.

    `attempts` is called once a grader, so that a million of them need not be in memory. After `rows` is used
    up, `outcomes`, `reasons`, `flagged` (sub-scores of 0 by name) and `disagreements` say what
    came of it.
    """

    def __init__(self, ctx: StageContext, attempts: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._ctx, self._attempts = ctx, attempts
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.disagreements: int | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the table verdicts: all that decide, then the second grader's; of each grader in the order
        of the attempts."""
        config = self._ctx.config.verify
        first_outcomes: dict[str, str] = {}
        for row in self._deciding():
            self.outcomes[str(row["outcome"])] += 1
            self.reasons[str(row["reason"])] += 1
            self.flagged.update(name for name, score in row["subscores"].items() if score == 0)
            if config.second_grader is not None:
                first_outcomes[row["rationale_id"]] = str(row["outcome"])
            yield row
        if config.second_grader is None:
            return
        self.disagreements = 0
        attempts = self._not_decided_by(config.second_grader)
        for row in verdict_rows(config.second_grader, attempts, workers=config.workers, decides=False):
            self.disagreements += first_outcomes[row["rationale_id"]] != str(row["outcome"])
            yield row

    def _deciding(self) -> Iterator[dict[str, Any]]:
        """By the grader of each attempt's source, grader by grader."""
        config = self._ctx.config
        for grader in deciding_graders(config):
            attempts, known = self._of_grader(grader), Ahead(self._ctx).verdicts(grader)
            yield from verdict_rows(
                grader, attempts, workers=config.verify.workers, decides=True, known=known
            )

    def _of_grader(self, grader: GraderConfig) -> Iterator[Mapping[str, Any]]:
        own, default = own_graders(self._ctx.config), self._ctx.config.verify.grader
        return (row for row in self._attempts() if own.get(row["source"], default) == grader)

    def _not_decided_by(self, grader: GraderConfig) -> Iterator[Mapping[str, Any]]:
        """The attempts that it has not graded already, as the grader of their source."""
        own, default = own_graders(self._ctx.config), self._ctx.config.verify.grader
        digest = grader_digest(grader)
        same = {name: grader_digest(one) == digest for name, one in own.items()}
        else_same = grader_digest(default) == digest
        return (row for row in self._attempts() if not same.get(row["source"], else_same))

    def sentence(self) -> str:
        """`2,400 attempts: 410 correct, 1,990 wrong, 0 ungraded; the second grader differs on 12`."""
        total = self.outcomes.total()
        parts = ", ".join(f"{self.outcomes.get(outcome, 0):,} {outcome}" for outcome in Outcome)
        differs = (
            "" if self.disagreements is None else f"; the second grader differs on {self.disagreements:,}"
        )
        return f"{counted(total, 'attempt')}: {parts}{differs}"

    def detail(self) -> dict[str, Any]:
        """Counts for the record of the stage."""
        return {
            "outcomes": dict(self.outcomes),
            "reasons": dict(self.reasons),
            "subscores_of_zero": dict(self.flagged),
            "disagreements": self.disagreements,
        }


def verdict_rows(
    grader: GraderConfig,
    attempts: Iterable[Mapping[str, Any]],
    *,
    workers: int,
    decides: bool,
    known: Mapping[str, Verdict] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of the table verdicts by one grader, in the order of the attempts; `known` ones by `item_key`."""
    digest = grader_digest(grader)
    with open_grading(grader, workers, known) as grading:
        for verdict in grading.grade(grade_item(row) for row in attempts):
            yield {
                "rationale_id": verdict.key,
                "grader": grader.name,
                "grader_digest": digest,
                "outcome": verdict.outcome,
                "score": verdict.score,
                "reason": verdict.reason,
                "answer": verdict.answer,
                "subscores": dict(verdict.subscores),
                "elapsed_ms": verdict.elapsed_ms,
                "decides": decides,
            }
