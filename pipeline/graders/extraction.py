"""Where the answer stands in a response: the last box, the text after `####`, the answer phrase, ...

Every method reads the text a bounded number of times (no backtracking over it), because responses are
hostile: a hundred thousand opening braces must cost milliseconds. Nothing here imports SymPy.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.config.graders import Extraction

LONGEST_ANSWER = 4_000
"""Characters; what is longer is not an answer."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOXES_READ = 16
# What may stand between boxes that together are one answer: "\boxed{1} \text{ and } \boxed{2}", "$, y_2 = $".
_BETWEEN_BOXES = re.compile(
    r"(?:\s|[$,;.&*]|\\[()\[\],;: ]|\\q?quad\b|\\text\s*\{\s*(?:and|or)?\s*\}|\b(?:and|or)\b|\\\\|"
    r"[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=|\\left|\\right|[(){}])*"
)
_LONGEST_BETWEEN_BOXES = 60

_PHRASE = re.compile(
    r"answers?\b(?:[^.:=\n]{0,60}?\b(?:is|are|be)\b(?!\s+(?:not|correct|wrong)\b)|\**\s*[:=])\**\s*:?",
    re.IGNORECASE,
)
_LINE_MARKS = ("a:", "ans:", "a :", "ans :")
_PHRASES_TRIED = 50
_PHRASE_END = re.compile(
    r"\n|\.(?=\s+[A-Z(]|\s*$)|[;,]?\s+\b(?:because|since|which|so)\b|\bI hope\b", re.IGNORECASE
)

_NUMBER = re.compile(r"(?<![\w.])[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:/\d+)?%?(?!\w)")
_MATH_SPAN = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\[(.{1,2000}?)\\\]|\\\((.{1,2000}?)\\\)", re.DOTALL
)
_PROSE = re.compile(r"(?:[^\W\d_]+'?[\s,]+){3}[^\W\d_]+")
_ANSWER_TAG = re.compile(r"<answer>([^<]{0,4000})</answer>", re.IGNORECASE)


def answer_region(response: str, max_chars: int) -> str:
    """The last `max_chars` characters, without what a reasoning model thought before `</think>`."""
    tail = response[-max_chars:]
    thought = tail.rfind("</think>")
    return tail if thought < 0 else tail[thought + len("</think>") :]


def extract(text: str, methods: Sequence[Extraction]) -> str | None:
    """The answer by the first method that finds one, stripped; None if none does."""
    for method in methods:
        found = _METHODS[method](text)
        if found is not None:
            found = found.strip()
            if found and len(found) <= LONGEST_ANSWER:
                return found
    return None


def boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}`; of the last few, by commas, where only "and" parts them."""
    starts = [match for match in _BOX.finditer(text)][-_BOXES_READ:]
    if not starts:
        return None
    ends = _closing_braces(text, starts[0].end())
    answers: list[str] = []
    follower: int | None = None
    for match in reversed(starts):
        end = ends.get(match.end())
        if end is None:
            if follower is None:
                return None  # the last box was cut off
            break
        if follower is not None:
            between = text[end + 1 : follower]
            if (
                len(between) > _LONGEST_BETWEEN_BOXES
                or not _BETWEEN_BOXES.fullmatch(between)
                or "=" in between[-1:]
            ):
                if end < follower:
                    break
                continue  # an outer box around the one already read
        answers.append(text[match.end() + 1 : end].strip())
        follower = match.start()
    distinct = list(dict.fromkeys(reversed(answers)))
    return ", ".join(distinct)


def _closing_braces(text: str, start: int) -> dict[int, int]:
    """Position of the closing brace for every opening one after `start`."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    for match in _BRACE.finditer(text, start):
        if match.group() == "{":
            opened.append(match.start())
        elif match.group() == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def hash4(text: str) -> str | None:
    """What follows the last `####` on its line: the GSM8K convention."""
    start = text.rfind("####")
    if start < 0:
        return None
    return text[start + 4 :].lstrip(" \t:").split("\n", 1)[0].strip().rstrip(".") or None


def answer_is(text: str) -> str | None:
    """What follows the last answer phrase (`the answer is`, `Answer:`, `A:` at the start of a line)."""
    end = _phrase_end(text)
    if end is None:
        return None
    rest = text[end : end + LONGEST_ANSWER].lstrip()
    box = boxed(rest)
    if box is not None:
        return box
    for opening, closing in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        if rest.startswith(opening):
            end = rest.find(closing, len(opening))
            if end > 0 and "\n\n" not in rest[:end] and _only_punctuation_follows(rest[end + len(closing) :]):
                return rest[len(opening) : end]
    end_match = _PHRASE_END.search(rest)
    answer = rest if end_match is None else rest[: end_match.start()]
    return answer.strip().strip("*").rstrip(".").strip() or None


def _phrase_end(text: str) -> int | None:
    """Where the last answer phrase ends. Looks from the end for the word, then at what follows it."""
    folded = text.lower()
    if len(folded) != len(text):  # a few letters change their length; then by pattern alone
        found = _last(_PHRASE, text)
        return None if found is None else found.end()
    best: int | None = None
    position = len(text)
    for _ in range(_PHRASES_TRIED):
        position = folded.rfind("answer", 0, position)
        if position < 0:
            break
        match = _PHRASE.match(text, position)
        if match and not (position and folded[position - 1].isalnum()):
            best = match.end()
            break
    for mark in _LINE_MARKS:
        start = len(mark) if folded.startswith(mark) else -1
        last = folded.rfind("\n" + mark)
        end = last + 1 + len(mark) if last >= 0 else start
        if end >= 0 and (best is None or end > best):
            best = end
    return best


def _only_punctuation_follows(text: str) -> bool:
    line = text.split("\n", 1)[0].strip()
    return not line or line[0] in ".*" or line.startswith("I hope")


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def last_number(text: str) -> str | None:
    """The last number, as it is written."""
    found = _last(_NUMBER, text)
    return None if found is None else found.group().replace("$", "")


def only_number(text: str) -> str | None:
    """The number of a short text that names one, once or again; None where it names several."""
    found = {match.group().replace("$", "") for match in _NUMBER.finditer(text)}
    return found.pop() if len(found) == 1 else None


def last_math(text: str) -> str | None:
    """The last span of LaTeX mathematics."""
    found = _last(_MATH_SPAN, text)
    return None if found is None else next(group for group in found.groups() if group is not None)


def answer_tag(text: str) -> str | None:
    """The content of the last `<answer>...</answer>`."""
    found = _last(_ANSWER_TAG, text)
    return None if found is None else found.group(1)


def bare(text: str) -> str | None:
    """The whole response if it is an answer and nothing else: one line that is not prose."""
    stripped = text.strip()
    if len(stripped) > 1_000 or "####" in stripped or "\\boxed" in stripped or _PROSE.search(stripped):
        return None
    if "\n" in stripped and not stripped.startswith(("$", "\\")):
        return None
    return stripped


def whole(text: str) -> str | None:
    """The response itself."""
    return text


_METHODS: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "hash4": hash4,
    "answer_is": answer_is,
    "answer_tag": answer_tag,
    "last_number": last_number,
    "last_math": last_math,
    "bare": bare,
    "whole": whole,
}
