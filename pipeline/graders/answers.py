"""The shape of an answer: a value, words, a list, a set, a tuple or interval, a matrix, a relation, a
union.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.graders.mathtext import split_top, unwrapped_text
from pipeline.graders.units import split_unit

MOST_PARTS = 5_000
_MOST_OUTER_BRACES = 8

_LIST = re.compile(r"\s*(?:,\s*(?:and|or)\b|;|,(?!(?<=\d,)\d{3}(?![\d,]*\d{4})(?!\d))|\b(?:and|or)\b)\s*")
_COMMA = re.compile(r"\s*[,;]\s*")
_CUP = re.compile(r"\s*\\cup\b\s*")
_RELATION = re.compile(r"\s*(<=|>=|!=|=|<|>|\\in(?![a-z])|\\approx(?![a-z])|\\equiv(?![a-z]))\s*")
_RATIO = re.compile(r"\s*:\s*")
_PLUS_MINUS = re.compile(r"\\pm(?![a-z])\s*|\\mp(?![a-z])\s*")
_MATRIX = re.compile(r"^\\begin ?\{([pbvBV]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end ?\{\1\}$", re.DOTALL)
_ROW = re.compile(r"\s*\\\\\s*")
_CELL = re.compile(r"\s*&\s*")
_BASED = re.compile(r"([0-9A-Za-z]+)_ ?\{?(\d{1,2})\}?")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' .\-]*")
_REALS = frozenset({"\\mathbb{R}", "\\mathbb R", "\\R", "ℝ"})
_NAME = re.compile(
    r"(?:[A-Za-z]|\\[a-z]+ ?)(?:_ ?(?:\{[^{}]*\}|\w))?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?|[^\W\d_]{2,20}|"
    r"\([A-Za-z](?: ?, ?[A-Za-z])+\)|\\text ?\{[^{}]*\}|[A-Z]_ ?\{[^{}]*\}(?::[A-Z])?|\\angle ?[A-Z]{1,3}"
)


@dataclass(frozen=True, slots=True)
class Value:
    """A number or an expression, with the unit and the percent sign that stood behind it."""

    text: str
    unit: str = ""
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A text answer, case folded."""

    text: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base, written `101_2`."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Group:
    """`list` has no brackets, `set` has braces, `tuple` any pair of ( [ ) ] (an open interval reads
    the same).
    """

    kind: str
    parts: tuple[Shape, ...]
    brackets: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells."""

    rows: tuple[tuple[Shape, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`parts[0] signs[0] parts[1] ...`, each part as text."""

    parts: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """What is none of these: only equal text or math-verify can tell."""

    text: str


Shape = Value | Words | Based | Group | Matrix | Relation | Opaque


def read(text: str, depth: int = 0) -> Shape:
    """The shape of a tidied answer. Never raises; what is nested too deeply is Opaque."""
    text = _without_outer_braces(text)
    if depth > 8 or not text:
        return Opaque(text)
    parts = [part for part in split_top(text, _LIST) if part]
    if len(parts) > MOST_PARTS:
        return Opaque(text)
    if len(parts) > 1:
        return Group("list", _flat(parts, depth))
    return _single(parts[0] if parts else text, depth)


def _single(text: str, depth: int) -> Shape:
    if text in _REALS:
        return Group("tuple", (Value("-\\infty"), Value("\\infty")), "()")
    if text == "\\emptyset":
        return Group("set", ())
    matrix = _MATRIX.match(text)
    if matrix and "\\begin" not in matrix.group(2):
        rows = [split_top(row, _CELL) for row in split_top(matrix.group(2).strip(), _ROW) if row]
        return Matrix(tuple(tuple(read(cell, depth + 1) for cell in row) for row in rows))
    if "\\begin" in text:
        return Opaque(text)
    relation = _relation(text)
    if relation is not None:
        return relation
    union = split_top(text, _CUP)
    if len(union) > 1:
        return Group("union", tuple(read(part, depth + 1) for part in union))
    if text.startswith("\\{") and text.endswith("\\}"):
        inner = text[2:-2].strip()
        if "|" in inner or ":" in inner:
            return Opaque(text)
        return Group("set", _flat([part for part in split_top(inner, _COMMA) if part], depth))
    if text[0] in "([" and text[-1] in ")]" and _matching(text) == len(text) - 1:
        inner_parts = split_top(text[1:-1], _COMMA)
        if len(inner_parts) > 1:
            return Group("tuple", tuple(read(part, depth + 1) for part in inner_parts), text[0] + text[-1])
        inner = inner_parts[0]
        if text[0] == "(" and (not _WORDS.fullmatch(inner) or len(inner) == 1):
            return read(inner, depth + 1)
    return _plus_minus(text, depth) or _leaf(text)


def _plus_minus(text: str, depth: int) -> Shape | None:
    if not _PLUS_MINUS.search(text):
        return None
    upper = _PLUS_MINUS.sub(lambda sign: "+" if sign.group().startswith("\\pm") else "-", text)
    lower = _PLUS_MINUS.sub(lambda sign: "-" if sign.group().startswith("\\pm") else "+", text)
    return Group("list", (read(upper, depth + 1), read(lower, depth + 1)))


def _flat(parts: list[str], depth: int) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    for part in parts:
        shape = read(part, depth + 1)
        if isinstance(shape, Group) and shape.kind == "list":
            shapes.extend(shape.parts)
        else:
            shapes.append(shape)
    return tuple(shapes)


def _leaf(text: str) -> Shape:
    words = unwrapped_text(text).strip()
    wrapped = words != text
    if _WORDS.fullmatch(words) and sum(map(str.isalpha, words)) > (1 if wrapped or " " in words else 3):
        return Words(re.sub(r"[\s.\-']+", " ", words).strip().casefold())
    if wrapped and re.fullmatch(r"\(([A-Z])\)", words):
        return Value(words[1])
    based = _BASED.fullmatch(text)
    if based and based.group(1)[0].isdigit():
        return Based(based.group(1).casefold().lstrip("0") or "0", int(based.group(2)))
    value, unit = split_unit(text)
    percent = value.endswith("%")
    return Value(value.rstrip("% ") if percent else value, unit, percent)


def _relation(text: str) -> Relation | None:
    parts = split_top(text, _RELATION)
    if len(parts) < 2:
        return None
    signs = tuple(sign.strip() for sign in _top_signs(text, parts))
    return Relation(tuple(parts), signs)


def _top_signs(text: str, parts: list[str]) -> list[str]:
    """The separators between `parts`, read off the text from left to right."""
    signs: list[str] = []
    position = 0
    for number, part in enumerate(parts):
        position = text.index(part, position) + len(part)
        if number < len(parts) - 1:
            match = _RELATION.match(text, position)
            signs.append(match.group(1) if match else "?")
            position = match.end() if match else position
    return signs


def is_name(text: str) -> bool:
    """Whether the left side of an equation only names what the right side is: `x`, `f(x)`, `\\text{Area}`."""
    return _NAME.fullmatch(text.strip()) is not None


def _without_outer_braces(text: str) -> str:
    for _ in range(_MOST_OUTER_BRACES):
        if not (text.startswith("{") and _matching(text) == len(text) - 1):
            break
        text = text[1:-1].strip()
    return text


def _matching(text: str) -> int:
    """Where the bracket that opens the text closes; -1 if nowhere. Half-open intervals may mix ( and ]."""
    depth = 0
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            depth += {"\\{": 1, "\\}": -1}.get(text[position : position + 2], 0)
            position += 2
            continue
        depth += 1 if character in "([{" else -1 if character in ")]}" else 0
        if depth == 0:
            return position
        position += 1
    return -1
