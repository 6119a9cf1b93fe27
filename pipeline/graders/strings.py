"""`string_check`: two strings compared, as OpenAI's grader of that name does."""

from __future__ import annotations

import re
from collections.abc import Collection

from pipeline.config.graders import StringCheckGrader
from pipeline.graders import extraction
from pipeline.graders.protocol import DecidedInline, Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Verdict


class StringCheck(DecidedInline):
    """Grader of `type: string_check`."""

    def __init__(self, config: StringCheckGrader) -> None:
        self._config = config

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Always decided at once."""
        config = self._config
        gold = render(config.gold, item)
        if not plain(gold, config.normalize):
            return ungraded(item, "unparseable_gold")  # every text contains an empty one
        answer = find_text(config, render(config.input, item))
        if answer is None:
            return graded(item, False, "no_answer")
        passed = compare(config.operation, plain(answer, config.normalize), plain(gold, config.normalize))
        return graded(item, passed, config.operation if passed else "different", answer)


def find_text(config: StringCheckGrader, text: str) -> str | None:
    """The part of the input that is compared, stripped; None where there is no marker or nothing is found."""
    if config.extract:
        found = extraction.extract(extraction.answer_region(text, config.max_chars), config.extract)
        if found is None:
            return None
        text = found
    return marked(text[-config.max_chars :], config.answer_marker)


def plain(text: str, ignored: Collection[str]) -> str:
    """`text` without the differences that do not count."""
    if "case" in ignored:
        text = text.casefold()
    if "punctuation" in ignored:
        text = re.sub(r"[^\w\s]", "", text)
    if "articles" in ignored:
        text = re.sub(r"\b(?:a|an|the)\b", " ", text, flags=re.IGNORECASE)
    return " ".join(text.split()) if "spaces" in ignored else text.strip()


def marked(text: str, marker: str | None) -> str | None:
    """What follows the last `marker` up to the end of its line; the whole text without a marker; stripped."""
    if marker is None:
        return text.strip()
    start = text.rfind(marker)
    return None if start < 0 else text[start + len(marker) :].strip().split("\n", 1)[0].strip()


def compare(operation: str, answer: str, gold: str) -> bool:
    """`eq`, `ne`, `like` (contains), `ilike` (contains, whatever the case)."""
    gold = gold.strip()
    match operation:
        case "eq":
            return answer == gold
        case "ne":
            return answer != gold
        case "like":
            return gold in answer
        case _:
            return gold.casefold() in answer.casefold()
