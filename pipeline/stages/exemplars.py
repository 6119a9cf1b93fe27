"""Worked examples against the experiment's own grader: a model writes what it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.config import ExperimentConfig
from pipeline.config.graders import (
    ChoiceGrader,
    GraderBase,
    GraderConfig,
    MathGrader,
    NumericGrader,
    StringCheckGrader,
)
from pipeline.config.of_source import grader_of, own_graders, own_prompts
from pipeline.graders import open_grading
from pipeline.problems.exemplars import exemplar_of
from pipeline.prompts.cutting import compile_answer_line
from pipeline.records import Exemplar, GradeItem, Outcome

_SHOWN = 60


def exemplar_notes(config: ExperimentConfig, exemplars: Sequence[Exemplar]) -> list[str]:
    """A sentence for each exemplar whose text, were a model to write it, would not be kept.

    Only graders that read an answer off the text and need nothing else are asked: no judge, no program.
    """
    notes = [*_not_correct(config.verify.grader, "verify.grader", exemplars)]
    notes += _without_answer_line(config, exemplars)
    for name, prompts in own_prompts(config).items():
        where = f"problems.sources.{name}"
        key = f"{where}.grader" if name in own_graders(config) else "verify.grader"
        own = [exemplar_of(one, f"{where}.prompts.few_shot") for one in prompts.few_shot or ()]
        notes += _not_correct(grader_of(config, name), key, own)
        notes += _without_answer_line(config, own)
    return notes


def _not_correct(grader: GraderConfig, key: str, exemplars: Sequence[Exemplar]) -> Iterator[str]:
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
                    f"{_named(one)} is {verdict.outcome.value} for {key}: it finds {found} in the "
                    f"rationale where the answer is {one.answer!r}, and a model that writes like it will "
                    f"never be right; correct the exemplar, or {key}"
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
