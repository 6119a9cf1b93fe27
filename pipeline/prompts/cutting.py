"""Where a text ends: at the first stop string, or after the first completed answer line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pipeline.errors import ConfigError
from pipeline.records import FinishReason


def cut_text(
    text: str, finish: FinishReason, stop: Sequence[str], answer_line: str | None
) -> tuple[str, FinishReason]:
    """The part of `text` that is graded, stored and trained on, stripped, and why it ends there.

    The text is cut at the first of the stop strings (reason STOP) and after the first complete answer line
    (reason ANSWER): a line in which `answer_line` is found, and which is followed by a line break. At the end
    of the text such a line is complete unless the token limit ended it, since its number may go on. A text
    that ends with its answer line keeps the reason it was given. LENGTH comes back only where the limit was
    reached before a complete answer, which is what "cut off" means. Cutting twice changes nothing.

    Raises ConfigError if `answer_line` is not a regular expression.
    """
    first_stop = min((at for at in (text.find(mark) for mark in stop if mark) if at >= 0), default=None)
    if first_stop is not None:
        text, finish = text[:first_stop], FinishReason.STOP
    text = text.lstrip()
    if answer_line is not None:
        end = _answer_end(text, compile_answer_line(answer_line))
        if end is not None:
            text, finish = text[:end], FinishReason.ANSWER
    return text.strip(), finish


@lru_cache(maxsize=64)
def compile_answer_line(pattern: str) -> re.Pattern[str]:
    """The compiled `prompts.answer_line`; ConfigError if it is not a regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"prompts.answer_line {pattern!r} is not a regular expression: {error}; "
            "expected one that is found in the line that completes an answer, such as '####.*'"
        ) from None


def _answer_end(text: str, pattern: re.Pattern[str]) -> int | None:
    """Where the first answer line ends that is followed by a line break; None where there is none."""
    start = 0
    while (newline := text.find("\n", start)) >= 0:
        if pattern.search(text[start:newline].rstrip("\r")):
            return newline
        start = newline + 1
    return None
