"""`numeric`: one number against another, exactly or within a relative tolerance."""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.config.graders import NumericGrader
from pipeline.graders import exact, extraction
from pipeline.graders.protocol import DecidedInline, Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Verdict

_UNIT = re.compile(r"^[$€£¥]|(?<=[\d.])(?:\\?\s|\\text\{|\\mathrm\{)*[A-Za-z][A-Za-z .]{0,30}\}?$")


class Numeric(DecidedInline):
    """Grader of `type: numeric`."""

    def __init__(self, config: NumericGrader) -> None:
        self._config = config
        self._tolerance = Fraction(str(config.tolerance))

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Always decided at once."""
        gold = read_number(render(self._config.gold, item))
        if gold is None:
            return ungraded(item, "unparseable_gold")
        region = extraction.answer_region(item.response, self._config.max_chars)
        text = extraction.extract(region, self._config.extract)
        value = None if text is None else read_number(text)
        if value is None and "last_number" in self._config.extract:
            text = extraction.last_number(region) if text is None else extraction.only_number(text)
            value = None if text is None else read_number(text)
        if value is None:
            return graded(item, False, "no_answer", text)
        passed = abs(value - gold) <= self._tolerance * abs(gold)
        return graded(
            item, passed, "exact" if value == gold else "within_tolerance" if passed else "different", text
        )


def read_number(text: str) -> Fraction | None:
    """The number a text is, a currency sign or a trailing unit apart; `12%` is 12/100."""
    plain = exact.normal(_UNIT.sub("", text.strip().strip("$").strip()))
    percent = plain.endswith(("\\%", "%"))
    value = exact.number(plain.rstrip("%").rstrip("\\") if percent else plain)
    return None if value is None else value / 100 if percent else value
