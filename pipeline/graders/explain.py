"""Why a verdict came out as it did: what was extracted, how both sides were read, which path decided."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from pipeline.config.graders import (
    ChoiceGrader,
    GraderConfig,
    MathGrader,
    MultiGrader,
    NumericGrader,
    StringCheckGrader,
)
from pipeline.graders import answers, equivalence, exact, extraction, strings
from pipeline.graders.grading import open_grading
from pipeline.graders.mathtext import tidy
from pipeline.graders.registry import build_grader, extract_answer
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Verdict

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict, and lines of (what, value) in the order things happened."""

    verdict: Verdict
    steps: tuple[tuple[str, str], ...]


def explain(item: GradeItem, config: GraderConfig) -> Explanation:
    """Grade one item and say how. Costs a second grading of the cheap parts."""
    steps = [("grader", config.type), *_extraction(item, config)]
    if isinstance(config, MathGrader):
        steps += _mathematics(item, config)
    if isinstance(config, MultiGrader):
        steps.append(("formula", config.calculate_output))
    inline = isinstance(build_grader(config).inline(item), Verdict)
    steps.append(("decided", "in the calling process" if inline else "by a worker process"))
    with open_grading(config, 1) as grading:
        [verdict] = grading.grade([item])
    steps += [(f"score of {name}", f"{score:g}") for name, score in verdict.subscores.items()]
    steps.append(("verdict", f"{verdict.outcome.value}, score {verdict.score:g}, reason {verdict.reason}"))
    steps.append(("took", f"{verdict.elapsed_ms:.1f} ms"))
    return Explanation(verdict, tuple(steps))


def _extraction(item: GradeItem, config: GraderConfig) -> list[tuple[str, str]]:
    steps = [("gold", _short(render(config.gold, item)))]
    if isinstance(config, MathGrader | NumericGrader | ChoiceGrader | StringCheckGrader):
        region = extraction.answer_region(item.response, config.max_chars)
        for method in config.extract:
            if method != "choice":
                found = extraction.extract(region, [method])
                steps.append((f"extract by {method}", "nothing" if found is None else _short(found)))
    if isinstance(config, StringCheckGrader) and config.answer_marker is not None and not config.extract:
        found = strings.marked(render(config.input, item), config.answer_marker)
        steps.append((f"after {config.answer_marker!r}", "nothing" if found is None else _short(found)))
    answer = extract_answer(config, item.response, item.choices)
    steps.append(("answer", "none" if answer is None else _short(answer)))
    return steps


def _mathematics(item: GradeItem, config: MathGrader) -> list[tuple[str, str]]:
    gold, answer = render(config.gold, item).strip(), extract_answer(config, item.response, item.choices)
    if not gold or answer is None:
        return []
    steps: list[tuple[str, str]] = []
    for name, text in (("gold", gold), ("answer", answer)):
        steps.append((f"{name} tidied", _short(tidy(text))))
        steps.append((f"{name} read as", _short(_shown(answers.read(tidy(text))))))
    steps.append(("exact path", _three_valued(exact.decide(gold, answer))))
    decision = equivalence.decide(gold, answer, config)
    steps.append(("comparison", f"{_three_valued(decision.equal)} ({decision.reason})"))
    if decision.equal is None:
        steps.append(("left to", "math-verify, whose yes is checked by guards"))
    return steps


def _shown(value: Any) -> str:
    """A shape as nested text: `list(Value 1, Value 2)`."""
    if not is_dataclass(value) or isinstance(value, type):
        return str(value)
    parts = []
    for field in fields(value):
        inner = getattr(value, field.name)
        if inner in ("", False, ()):
            continue
        if isinstance(inner, tuple):
            parts.append(f"[{', '.join(_shown(part) for part in inner)}]")
        else:
            parts.append(field.name if inner is True else str(inner))
    return f"{type(value).__name__.lower()} {' '.join(parts)}"


def _three_valued(equal: bool | None) -> str:
    return {True: "equal", False: "different", None: "left open"}[equal]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
