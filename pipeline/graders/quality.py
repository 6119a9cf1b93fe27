"""Right answers for wrong reasons: what can be told cheaply of a rationale beside its answer.

STaR's code looks only at the final answer. Each of these is a grader of its own (1: fine, 0: flagged), so
that a `multi` can exclude what is flagged, or only record the sub-score. How often each
flags right and wrong solutions is printed by `benchmarks/graders`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.config.graders import (
    AnswerFirstGrader,
    FalseEquationGrader,
    HintLeakGrader,
    NewContentGrader,
    UnsupportedNumberGrader,
)
from pipeline.graders import evaluation, exact, extraction
from pipeline.graders.expressions import Unparsed, parse
from pipeline.graders.mathtext import tidy
from pipeline.graders.protocol import DecidedInline, Job, graded
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Origin, Verdict

QualityConfig = (
    HintLeakGrader | FalseEquationGrader | UnsupportedNumberGrader | AnswerFirstGrader | NewContentGrader
)

_MOST_EQUATIONS = 400
_CALCULATOR = re.compile(r"<<[^<>]{0,200}>>")
_SIDE = r"[-+*/x×÷·^().\d,%$\s]"
_EQUATION = re.compile(
    rf"(?<![\w.=])((?=[-(.$\d]){_SIDE}{{1,120}}?)=\s*(-?\$?\s*(?:\d+(?:,\d{{3}})*(?:\.\d+)?|\.\d+))(?![\w/*^(]|\s*[-+*/x×÷=])"
)
_SIGNS = frozenset("-+*/x×÷·^(")
_OPERATOR = re.compile(r"[-+*/x×÷·^]")
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]{2,}")
_DERIVES = re.compile(
    r"[=+*/×÷<>]|\d\s*-\s*\d|\b(?:because|since|therefore|so|thus|then|first|if|must|would)\b", re.I
)
_ANSWER_PHRASE = re.compile(r"\banswer\b[^.\n]{0,40}?\b(?:is|:)", re.I)


class Quality(DecidedInline):
    """The graders `hint_leak`, `false_equation`, `unsupported_final_number`, ... : always decided at once."""

    def __init__(self, config: QualityConfig) -> None:
        self._config = config

    def inline(self, item: GradeItem) -> Verdict | Job:
        """1 where nothing is found or the attempt is not of the phase it applies to."""
        config = self._config
        if config.phase == "rationalized" and item.origin is not Origin.RATIONALIZED:
            return graded(item, True, "not_applicable")
        flagged = is_flagged(config, item)
        return graded(item, not flagged, config.type if flagged else "fine")


def is_flagged(config: QualityConfig, item: GradeItem) -> bool:
    """Whether the response shows what the grader looks for."""
    text = item.response[-config.max_chars :]
    match config:
        case HintLeakGrader():
            return leaks_hint(text, config.phrases)
        case FalseEquationGrader():
            return has_false_equation(text, config.tolerance)
        case UnsupportedNumberGrader():
            return not final_number_is_derived(text, extraction.extract(text, config.extract))
        case AnswerFirstGrader():
            return answers_before_deriving(text, render(config.gold, item))
        case NewContentGrader():
            known = " ".join([item.question, *item.choices.values(), item.hint or ""])
            return new_words(text, known) < config.words


def leaks_hint(text: str, phrases: tuple[str, ...]) -> bool:
    """Whether a phrase that speaks of the hint occurs, whatever the case."""
    folded = text.casefold()
    return any(phrase.casefold() in folded for phrase in phrases)


def equations(text: str) -> list[tuple[Fraction | None, Fraction]]:
    """(value of the left side, stated result) of every `2 + 3 = 5` between numbers; None: not computable."""
    plain = _CALCULATOR.sub("", text)
    found: list[tuple[Fraction | None, Fraction]] = []
    for match in _EQUATION.finditer(plain):
        left, right = match.group(1), exact.number(exact.normal(match.group(2)))
        if plain[max(0, match.start() - 3) : match.start()].rstrip()[-1:] in _SIGNS:
            continue  # the rest of a longer expression with words in it: "9 eggs * 1/3 = 3"
        if right is None or not _OPERATOR.search(left.strip().lstrip("-")):
            continue
        found.append((_computed(left), right))
        if len(found) == _MOST_EQUATIONS:
            break
    return found


def _computed(left: str) -> Fraction | None:
    text = tidy(re.sub(r"(?<=[\d)\s])[x×](?=[\s\d($.])", "*", left).replace("$", ""))
    try:
        return None if "%" in text else evaluation.value(parse(text))
    except Unparsed:
        return None


def has_false_equation(text: str, tolerance: float) -> bool:
    """Whether some equation between numbers is wrong by more than rounding."""
    for value, stated in equations(text):
        if value is None:
            continue
        allowed = max(Fraction(str(tolerance)) * max(abs(value), abs(stated)), Fraction(1, 100))
        if abs(value - stated) > allowed:
            return True
    return False


def final_number_is_derived(text: str, answer: str | None) -> bool:
    """Whether the final number is the result of an equation; True where there is no number or no equation."""
    number = exact.number(exact.normal(answer)) if answer is not None else None
    results = {stated for _, stated in equations(text)}
    calculated = {
        value
        for match in re.finditer(r"<<[^<>]{0,200}?=(-?[\d.]+)>>", text)
        if (value := exact.number(exact.normal(match.group(1)))) is not None
    }
    stated_all = results | calculated
    return number is None or not stated_all or number in stated_all


def answers_before_deriving(text: str, gold: str) -> bool:
    """Whether the first sentence already gives the gold answer as the answer, with nothing derived before."""
    gold = gold.strip()
    found = _ANSWER_PHRASE.search(text)
    if found is None or not gold:
        return False
    if _DERIVES.search(text[: found.start()]):
        return False
    after = text[found.end() :]
    start = after[: len(gold) + 60].casefold().find(gold.casefold())
    return start >= 0 and len(after[start + len(gold) :].split()) > 3


def new_words(text: str, known: str) -> int:
    """How many different words and numbers of the text are not among the known."""
    given = {word.casefold() for word in _WORD.findall(known)}
    return len({word.casefold() for word in _WORD.findall(text)} - given)
