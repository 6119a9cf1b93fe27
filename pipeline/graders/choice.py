"""Multiple choice: which key does the response settle on?

A key in brackets counts in either case. A bare letter counts only in the case of the keys: `a` and `I` are
also words. The text of a choice counts where exactly one choice reads so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.graders import ChoiceGrader, Extraction
from pipeline.graders import extraction
from pipeline.graders.protocol import DecidedInline, Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Verdict

_BRACKETED = re.compile(r"[(\[]\s*([A-Za-z0-9])\s*[)\]]")
_LEADING = re.compile(
    r"\**\s*(?:(?:[Oo]ption|[Cc]hoice)\s)?\s*([A-Za-z0-9])\s*(?:[.):,]|\*\*|$|\s*[-–—]\s|\s+(?=[A-Z]))"
)
_ONLY = re.compile(r"\W*(?:option|choice)?\W*([A-Za-z0-9])\W*", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|cannot|except|rather than|instead of)|n['’]t)\s+(?:be\s+|[a-z]+\s+)?\**[(\[]",
    re.IGNORECASE,
)
_LONGEST_STATEMENT = 400


@dataclass(frozen=True, slots=True)
class Found:
    """A key and whether it stood in brackets (then its case does not matter)."""

    key: str
    bracketed: bool


class Choice(DecidedInline):
    """Grader of `type: choice`."""

    def __init__(self, config: ChoiceGrader) -> None:
        self._config = config

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Always decided at once."""
        gold = self._gold(render(self._config.gold, item).strip(), item.choices)
        if gold is None:
            return ungraded(item, "unparseable_gold")
        region = extraction.answer_region(item.response, self._config.max_chars)
        found = find_choice(region, self._config.extract, item.choices)
        if found is None:
            return graded(item, False, "no_answer")
        equal = found.key == gold or (found.bracketed and found.key.casefold() == gold.casefold())
        return graded(item, equal, "choice" if equal else "different", found.key)

    def _gold(self, gold: str, choices: Mapping[str, str]) -> str | None:
        if gold in choices or (len(gold) == 1 and not choices):
            return gold
        found = _settle(gold, choices) or find_choice(gold, self._config.extract, choices)
        return None if found is None else found.key


def find_choice(region: str, methods: Sequence[Extraction], choices: Mapping[str, str]) -> Found | None:
    """The key the response settles on; None where it names none, or several."""
    for method in methods:
        if method == "choice":
            statement = extraction.answer_is(region)
            found = _settle(statement, choices) if statement else None
            if found is None and statement is None:
                found = _settle(region.strip(), choices) or _last_line(region, choices)
        else:
            statement = extraction.extract(region, [method])
            found = _settle(statement, choices) if statement else None
        if found is not None:
            return found
    return None


def _last_line(region: str, choices: Mapping[str, str]) -> Found | None:
    lines = region.rstrip().rsplit("\n", 1)
    return _settle(lines[-1].strip(), choices)


def _settle(statement: str, choices: Mapping[str, str]) -> Found | None:
    """The one key that a short statement names."""
    if len(statement) > _LONGEST_STATEMENT:
        return None
    text = (
        re.sub(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]{0,80})\}", r"\1", statement)
        .strip()
        .strip("$")
        .strip()
    )
    bracketed = {key for key in map(_known(choices), _BRACKETED.findall(text)) if key is not None}
    if len(bracketed) == 1:
        (key,) = bracketed
        spelled_out = key in choices and _plain(choices[key]) in _plain(text)  # "not enough (a)"
        denied = _DENIED.search(text) is not None and not spelled_out
        return None if denied else Found(key, True)
    if bracketed:
        return None
    for pattern in (_ONLY.fullmatch, _LEADING.match):
        match = pattern(text)
        if match and (not choices or match.group(1) in choices):
            return Found(match.group(1), False)
    reads = _plain(text)
    same = [key for key, value in choices.items() if _plain(value) == reads]
    return Found(same[0], True) if len(same) == 1 else None


def _known(choices: Mapping[str, str]) -> Any:
    folded = {key.casefold(): key for key in choices}

    def known(letter: str) -> str | None:
        if not choices:
            return letter
        return letter if letter in choices else folded.get(letter.casefold())

    return known


def _plain(text: str) -> str:
    return re.sub(
        r"^(?:the|an?)\s+|[^\w\s]", "", re.sub(r"\s+", " ", text.casefold()).strip(" .\"'*")
    ).strip()
