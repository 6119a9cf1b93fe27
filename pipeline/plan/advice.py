"""What to turn in a config before much is spent on it, where the pilot went badly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import ExperimentConfig
from pipeline.config.graders import MultiGrader
from pipeline.plan.measured import Measured

MANY_CUT_OFF = 0.10
MANY_WITHOUT_ANSWER = 0.25
MANY_UNGRADED = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence, and the field of the config that it is about (as `--set` takes it)."""

    field: str
    text: str


def advice_of(measured: Measured) -> list[Advice]:
    """What to change first; nothing where the base solves something and most texts end and are read."""
    return [*_unreadable(measured), *(_unsolved(measured) if not measured.solved else ())]


def _unreadable(measured: Measured) -> Iterator[Advice]:
    """Attempts that were lost before it mattered whether they are right."""
    config, attempts = measured.config, measured.count("attempts")
    if not attempts:
        return
    cut_off, unread = measured.count("cut_off"), measured.count("no_answer")
    ungraded = measured.count("ungraded")
    if cut_off / attempts >= MANY_CUT_OFF:
        yield Advice(
            "generate.max_tokens",
            f"{cut_off:,} of {attempts:,} attempts are cut off at {config.generate.max_tokens} tokens: allow "
            "more, or end texts at their answer (prompts.answer_line, generate.stop)",
        )
    field = _extraction_field(config)
    if field is not None and unread / attempts >= MANY_WITHOUT_ANSWER:
        yield Advice(
            field,
            f"the grader finds no answer in {unread:,} of {attempts:,} attempts, though they are complete: "
            "see how they end (star show, on the pilot's home), then tell the grader, or show the form in "
            "prompts.few_shot",
        )
    if ungraded / attempts >= MANY_UNGRADED:
        yield Advice(
            "verify.grader",
            f"the grader could not judge {ungraded:,} of {attempts:,} attempts: see why with star reports "
            "verdict_reasons, on the pilot's home",
        )


def _unsolved(measured: Measured) -> Iterator[Advice]:
    """Ways to get the first solved problems, the cheapest first."""
    config = measured.config
    if not config.prompts.few_shot:
        yield Advice("prompts.few_shot", "show the base three to eight worked examples in the form you want")
    elif config.generate.few_shot == "never":
        yield Advice(
            "generate.few_shot", "set it to always: there are worked examples, and the base sees none"
        )
    if config.generate.source == "model" and config.generate.samples == 1:
        yield Advice(
            "generate.samples",
            "draw 8 with generate.temperature 0.8: what greedy decoding never writes may come once in eight",
        )
    yield Advice(
        "problems.sources",
        "add easier problems of the same kind, and draw all difficulties alike (generate.balanced)",
    )
    if config.problems.imported is None:
        yield Advice(
            "problems.imported",
            "start from rationales written elsewhere: they are graded and trained on in round 1",
        )
    yield Advice(
        "model.base", "start from a checkpoint that was fine-tuned on such rationales, or a larger base"
    )


def _extraction_field(config: ExperimentConfig) -> str | None:
    """Where the grader is told how an answer looks; None for one that reads the whole text."""
    grader = config.verify.grader
    if isinstance(grader, MultiGrader):
        return "verify.grader.graders"
    for field in ("answer_marker", "extract"):
        if getattr(grader, field, None):
            return f"verify.grader.{field}"
    return None
