"""The exact fast path: strings that read the same, and numbers compared as fractions.

It decides what it can decide with certainty and abstains (None) on the rest: percent, units, bases, odd
digit groups, anything that is not plainly a number. No floats: 1/2^99 is not 1/2^98.
"""

from __future__ import annotations

import re
from fractions import Fraction

_LONGEST_NUMBER = 400
_NOISE = re.compile(
    r"\\!\s*|\\(?:[,;: ]|(?:left|right|displaystyle|q?quad)(?![a-zA-Z]))|\\[()\[\]]|(?<!\\)\$|~"
)
# A space between digits or after a comma may mean something: "2 1/2" is not 21/2, "1, 234" not 1,234.
_SPACE = re.compile(r"(?<![\d,])\s+|\s+(?!\d)|(?<=\d)\\,(?=\d)")
_SPACES = frozenset({"\\;", "\\:", "\\ ", "~", "\\quad", "\\qquad"})
_FRAC_NAMES = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_RATIO = re.compile(r"([-+]?)\(?([-+]?\d+(?:\.\d+)?)\)?/\(?([-+]?\d+(?:\.\d+)?)\)?")
_LATEX_RATIO = re.compile(r"([-+]?)\\frac(?:\{([-+]?\d+(?:\.\d+)?)\}|(\d))(?:\{([-+]?\d+(?:\.\d+)?)\}|(\d))")
_SCIENTIFIC = re.compile(
    r"([-+]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]|(?:\\times|\\cdot|×|\*)10\^)\{?([-+]?\d{1,3})\}?"
)


def normal(text: str) -> str:
    """`text` without what changes no answer: spaces, `$`, `\\left`, a final dot; one name per command."""
    if text.isdecimal():
        return text
    plain = text.strip()
    if not plain.endswith("..."):  # 0.333... is not 0.333
        plain = plain.rstrip(".")
    plain = plain.replace("−", "-").replace("–", "-").replace("{,}", ",").replace("\\$", "")
    plain = _FRAC_NAMES.sub(r"\\frac", plain)
    if "\\" in plain or "$" in plain or "~" in plain:
        plain = _NOISE.sub(lambda found: " " if found.group() in _SPACES else "", plain)
    return _SPACE.sub("", plain).strip()


def number(text: str) -> Fraction | None:
    """The value of a normalised text that is plainly a number, else None."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if text.isdecimal():
        return Fraction(int(text))
    if _PLAIN.fullmatch(text):
        return Fraction(text)
    if _THOUSANDS.fullmatch(text):
        return Fraction(text.replace(",", ""))
    match = _RATIO.fullmatch(text)
    if match:
        return _ratio(match.group(1), match.group(2), match.group(3))
    match = _LATEX_RATIO.fullmatch(text)
    if match:
        return _ratio(match.group(1), match.group(2) or match.group(3), match.group(4) or match.group(5))
    match = _SCIENTIFIC.fullmatch(text)
    if match:
        return Fraction(match.group(1)) * Fraction(10) ** int(match.group(2))
    return None


def _ratio(sign: str, above: str, below: str) -> Fraction | None:
    bottom = Fraction(below)
    if bottom == 0:
        return None
    value = Fraction(above) / bottom
    return -value if sign == "-" else value


def decide(gold: str, answer: str) -> bool | None:
    """Whether two answers are equal, or None where this cannot be said exactly."""
    left, right = normal(gold), normal(answer)
    if left == right and left:
        return True
    if left.isdecimal() and right.isdecimal() and len(left) + len(right) < _LONGEST_NUMBER:
        return int(left) == int(right)
    left_value = number(left)
    if left_value is None:
        return None
    right_value = number(right)
    if right_value is None:
        return None
    if left_value == right_value:
        return True
    # A repeating fraction written as a decimal is a matter of policy, decided later.
    if (_PLAIN.fullmatch(left) is None) != (_PLAIN.fullmatch(right) is None) and (
        "." in left or "." in right
    ):
        return None
    return False
