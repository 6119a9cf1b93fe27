"""Worked examples against the experiment's own grader: a model writes what it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.config import ExperimentConfig
from pipeline.config.graders import ChoiceGrader, GraderBase, MathGrader, NumericGrader, StringCheckGrader
from pipeline.graders import open_grading
from pipeline.prompts.cutting import compile_answer_line
from pipeline.records import Exemplar, GradeItem, Outcome

_SHOWN = 60


def exemplar_notes(config: ExperimentConfig, exemplars: Sequence[Exemplar]) -> list[str]:
    """A sentence for each exemplar whose text, were a model to write it, would not be kept.

    Only graders that read an answer off the text and need nothing else are asked: no judge, no program.
    """
    return [*_not_correct(config, exemplars), *_without_answer_line(config, exemplars)]


def _not_correct(config: ExperimentConfig, exemplars: Sequence[Exemplar]) -> Iterator[str]:
    grader = config.verify.grader
    if not isinstance(grader, MathGrader | NumericGrader | ChoiceGrader | StringCheckGrader):
        return
    if not exemplars or grader.gold != GraderBase.model_fields["gold"].default:
        return
    items = [
        GradeItem("", one.answer, one.rationale, question=one.question, choices=one.choices)
        for one in exemplars
    ]
    with open_grading(grader, 1) as grading:
        for one, verdict in zip(exemplars, grading.grade(items), strict=True):
            if verdict.outcome is not Outcome.CORRECT:
                found = "no answer" if verdict.answer is None else repr(verdict.answer)
                yield (
                    f"{_named(one)} is {verdict.outcome.value} for verify.grader: it finds {found} in the "
                    f"rationale where the answer is {one.answer!r}, and a model that writes like it will "
                    "never be right; correct the exemplar, or verify.grader"
                )


def _without_answer_line(config: ExperimentConfig, exemplars: Sequence[Exemplar]) -> Iterator[str]:
    if config.prompts.answer_line is None:
        return
    pattern = compile_answer_line(config.prompts.answer_line)
    for one in exemplars:
        if not any(pattern.search(line) for line in one.rationale.splitlines()):
            yield (
                f"{_named(one)} has no line with prompts.answer_line {config.prompts.answer_line!r}, so a "
                "text like it would not end there; correct one of the two"
            )


def _named(exemplar: Exemplar) -> str:
    question = " ".join(exemplar.question.split())
    return f"the exemplar {question if len(question) <= _SHOWN else f'{question[: _SHOWN - 3]}...'!r}"
