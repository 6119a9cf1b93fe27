"""Whether an answer means the same as the gold answer, under the policies of a `math` grader.

Three-valued: True and False are certain under the policies; None leaves the pair to math-verify.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from pipeline.config.graders import MathGrader
from pipeline.graders import evaluation, exact, floats
from pipeline.graders.answers import (
    Based,
    Group,
    Matrix,
    Opaque,
    Relation,
    Shape,
    Value,
    Words,
    is_name,
    read,
)
from pipeline.graders.expressions import Node, Number, Operation, Unparsed, operations, parse, symbols
from pipeline.graders.mathtext import tidy, unwrapped_text
from pipeline.graders.units import conversion, prices_in_words

MOST_PAIRED = 40
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Decision:
    """`equal` None: left open. `reason` is a word for the verdict."""

    equal: bool | None
    reason: str


OPEN = Decision(None, "open")
DIFFERENT = Decision(False, "not_equal")
SAME = Decision(True, "numeric")


def decide(gold: str, answer: str, policy: MathGrader) -> Decision:
    """Compare two answers as they were extracted."""
    if policy.units != "ignore":
        gold, answer = prices_in_words(gold, answer)
    left, right = _tidied(gold), tidy(answer)
    if _squeezed(left) == _squeezed(right) and left:
        return Decision(True, "exact")
    if "\\text" in left + right and _read_aloud(left) == _read_aloud(right) != "":
        return Decision(True, "text")
    if "," in right and "." in left and right.replace(",", ".") == left and exact.number(left) is not None:
        return Decision(True, "exact")  # a decimal comma: the same digits, and the gold is not a list
    return _compare(_shape(left), read(right), policy)


@lru_cache(maxsize=4096)
def _tidied(text: str) -> str:
    return tidy(text)


@lru_cache(maxsize=4096)
def _shape(text: str) -> Shape:
    return read(text)


def _squeezed(text: str) -> str:
    return re.sub(r"(?<![\d,]) | (?!\d)", "", text)


def _read_aloud(text: str) -> str:
    return _squeezed(re.sub(r"\s+|\.$", " ", unwrapped_text(text)).strip())


def _compare(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    if isinstance(gold, Opaque) or isinstance(answer, Opaque):
        return OPEN
    if _has_relation(gold) or _has_relation(answer):
        return _relations(gold, answer, policy)
    if isinstance(gold, Words) or isinstance(answer, Words):
        return _words(gold, answer)
    if isinstance(gold, Based) or isinstance(answer, Based):
        return Decision(True, "exact") if gold == answer else Decision(False, "base_differs")
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer, policy)
    if isinstance(gold, Group) or isinstance(answer, Group):
        return _groups(gold, answer, policy)
    return _values(gold, answer, policy)


def _has_relation(shape: Shape) -> bool:
    """A relation, or inequalities joined by `or`."""
    if isinstance(shape, Group) and shape.kind == "list":
        return all(isinstance(part, Relation) and set(part.signs) <= set(_MIRRORED) for part in shape.parts)
    return isinstance(shape, Relation)


def _words(gold: Shape, answer: Shape) -> Decision:
    left, right = _plain_words(gold), _plain_words(answer)
    if left is None or right is None:
        return Decision(False, "different_shape")
    return Decision(True, "text") if left == right else DIFFERENT


def _plain_words(shape: Shape) -> str | None:
    if isinstance(shape, Words):
        return shape.text
    if isinstance(shape, Value):
        return " ".join(filter(None, (unwrapped_text(shape.text).casefold(), shape.unit)))
    return None


def _matrices(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
            return Decision(False, "different_shape")
        cells = [cell for row in gold.rows for cell in row]
        return _in_order(cells, [cell for row in answer.rows for cell in row], policy)
    matrix, other = (gold, answer) if isinstance(gold, Matrix) else (answer, gold)
    assert isinstance(matrix, Matrix)
    if isinstance(other, Group) and other.kind == "tuple" and 1 in {len(matrix.rows), len(matrix.rows[0])}:
        return OPEN  # a row or column vector written as a tuple
    return OPEN if not isinstance(other, Words) else Decision(False, "different_shape")


def _groups(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    if not isinstance(gold, Group) or not isinstance(answer, Group):
        group, other = (gold, answer) if isinstance(gold, Group) else (answer, gold)
        assert isinstance(group, Group)
        if group.kind == "set" and len(group.parts) == 1:
            return (
                _compare(group.parts[0], other, policy)
                if group is gold
                else _compare(other, group.parts[0], policy)
            )
        if isinstance(other, Value) and _maybe_list(other):
            return OPEN
        return Decision(False, "different_shape")
    kinds = {gold.kind, answer.kind}
    if kinds == {"tuple"}:
        if gold.brackets != answer.brackets:
            return Decision(False, "brackets_differ")
        return _in_order(gold.parts, answer.parts, policy)
    if kinds == {"tuple", "set"}:
        return Decision(False, "different_shape")
    if "union" in kinds:
        return _any_order(gold.parts, answer.parts, policy) if len(kinds) == 1 else OPEN
    if "tuple" in kinds or (policy.ordered and "set" not in kinds):
        return _in_order(gold.parts, answer.parts, policy)
    return _any_order(gold.parts, answer.parts, policy)


def _maybe_list(shape: Value) -> bool:
    return "," in shape.text


def _compare_parts(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    """As `_compare`, but {2} is not 2: only a whole answer may stand in braces that mean nothing."""
    sets = [isinstance(part, Group) and part.kind == "set" for part in (gold, answer)]
    return Decision(False, "different_shape") if sets[0] != sets[1] else _compare(gold, answer, policy)


def _in_order(gold: Sequence[Shape], answer: Sequence[Shape], policy: MathGrader) -> Decision:
    if len(gold) != len(answer):
        return Decision(False, "different_length")
    open_ = False
    for left, right in zip(gold, answer, strict=True):
        decision = _compare_parts(left, right, policy)
        if decision.equal is False:
            return decision
        open_ = open_ or decision.equal is None
    return OPEN if open_ else SAME


def _any_order(gold: Sequence[Shape], answer: Sequence[Shape], policy: MathGrader) -> Decision:
    if len(gold) != len(answer):
        return Decision(False, "different_length")
    numbers = _all_numbers(gold), _all_numbers(answer)
    if numbers[0] is not None and numbers[1] is not None and numbers[0] == numbers[1]:
        return Decision(True, "exact")
    if len(gold) > MOST_PAIRED:
        return DIFFERENT if None not in numbers else OPEN
    left_over = list(answer)
    open_ = False
    for wanted in gold:
        decisions = [_compare_parts(wanted, given, policy).equal for given in left_over]
        if True in decisions:
            left_over.pop(decisions.index(True))
        elif None in decisions:
            open_ = True
        else:
            return DIFFERENT
    return OPEN if open_ else SAME


def _all_numbers(parts: Sequence[Shape]) -> Counter[Fraction] | None:
    counted: Counter[Fraction] = Counter()
    for part in parts:
        number = (
            exact.number(part.text)
            if isinstance(part, Value) and not part.unit and not part.percent
            else None
        )
        if number is None:
            return None
        counted[number] += 1
    return counted


def _relations(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    left = _assigned(gold) if isinstance(gold, Relation) else None
    right = _assigned(answer) if isinstance(answer, Relation) else None
    if isinstance(answer, Relation) and _inconsistent(answer):
        return Decision(False, "chain_of_equations")
    if left is not None and right is not None:
        if _squeezed(left[0]) == _squeezed(right[0]):
            return _compare(left[1], right[1], policy)
    elif left is not None and not isinstance(answer, Relation):
        return _compare(left[1], answer, policy)
    elif right is not None and not isinstance(gold, Relation):
        return _compare(gold, right[1], policy)
    if isinstance(gold, Group) and isinstance(answer, Group) and gold.kind == answer.kind == "list":
        return _any_order(gold.parts, answer.parts, policy)
    intervals = _as_interval(gold), _as_interval(answer)
    if intervals[0] is not None and intervals[1] is not None:
        if intervals[0].name and intervals[1].name and intervals[0].name != intervals[1].name:
            return Decision(False, "different_variable")
        return _compare(intervals[0].shape, intervals[1].shape, policy)
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _proportional(gold, answer)
    return (
        OPEN
        if not isinstance(gold, Words) and not isinstance(answer, Words)
        else Decision(False, "different_shape")
    )


def _assigned(relation: Relation) -> tuple[str, Shape] | None:
    """(name, value) of `x = 5`, `x = 2 + 3 = 5`, `(x, y) = (1, 2)`, `x \\in [1, 2]`; None for other
    relations.
    """
    if set(relation.signs) - {"=", "\\in", "\\approx"} or "\\approx" in relation.signs:
        return None
    if not is_name(relation.parts[0]) or ("\\in" in relation.signs and len(relation.parts) > 2):
        return None
    return relation.parts[0].strip(), read(relation.parts[-1], 1)


def _inconsistent(relation: Relation) -> bool:
    """Whether a chain `x = 3 = 5` states something false about numbers."""
    if len(relation.parts) < 3 or set(relation.signs) != {"="}:
        return False
    values = [number for part in relation.parts if (number := _number(part)) is not None]
    return len(set(values)) > 1


def _number(text: str) -> Fraction | None:
    try:
        return evaluation.value(parse(text))
    except Unparsed:
        return None


@dataclass(frozen=True, slots=True)
class _Interval:
    name: str
    shape: Shape


def _as_interval(shape: Shape) -> _Interval | None:
    """`a < x <= b` and `x > 5` as intervals, so that they can be compared with `(a, b]`."""
    if isinstance(shape, Group) and (
        shape.kind == "tuple" and len(shape.parts) == 2 or shape.kind == "union"
    ):
        return _Interval("", shape)
    if isinstance(shape, Group) and shape.kind == "list":
        return _union(shape)
    if isinstance(shape, Relation) and shape.signs == ("\\in",):
        inner = _as_interval(read(shape.parts[1], 1))
        return None if inner is None else _Interval(shape.parts[0].strip(), inner.shape)
    if not isinstance(shape, Relation) or set(shape.signs) - set(_MIRRORED):
        return None
    parts, signs = list(shape.parts), list(shape.signs)
    if len({sign[0] for sign in signs}) > 1:
        return None
    if signs[0][0] == ">":
        parts, signs = parts[::-1], [_MIRRORED[sign] for sign in signs[::-1]]
    if len(parts) == 3 and is_name(parts[1]):
        low, name, high = parts
        brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    elif len(parts) == 2 and is_name(parts[0]) and not is_name(parts[1]):
        low, name, high = "-\\infty", parts[0], parts[1]
        brackets = "(" + ("]" if signs[0] == "<=" else ")")
    elif len(parts) == 2 and is_name(parts[1]) and not is_name(parts[0]):
        low, name, high = parts[0], parts[1], "\\infty"
        brackets = ("[" if signs[0] == "<=" else "(") + ")"
    else:
        return None
    return _Interval(name.strip(), Group("tuple", (read(low, 2), read(high, 2)), brackets))


def _union(shape: Group) -> _Interval | None:
    """`x < 2 or x > 3` as a union."""
    intervals = [_as_interval(part) for part in shape.parts if isinstance(part, Relation)]
    found = [interval for interval in intervals if interval is not None]
    names = {interval.name for interval in found}
    if len(found) != len(shape.parts) or len(names) != 1 or len(found) > MOST_PAIRED:
        return None
    return _Interval(names.pop(), Group("union", tuple(interval.shape for interval in found)))


def _proportional(gold: Relation, answer: Relation) -> Decision:
    """Equations and inequalities that differ by a constant factor are the same."""
    if len(gold.parts) != 2 or len(answer.parts) != 2:
        return OPEN
    try:
        left, right = (_moved(relation) for relation in (gold, answer))
    except Unparsed:
        return OPEN
    sign, other = gold.signs[0], answer.signs[0]
    if symbols(left) != symbols(right):
        return DIFFERENT if "call:" not in "".join(operations(left) | operations(right)) else OPEN
    factor = floats.constant_factor(left, right)
    if factor is None:
        return OPEN
    if factor < 0:
        other = _MIRRORED.get(other, other)
    return Decision(True, "equation") if sign == other else Decision(False, "relation_differs")


def _moved(relation: Relation) -> Node:
    left, right = (parse(part) for part in relation.parts)
    return Operation("+", (left, Operation("neg", (right,))))


def _values(gold: Shape, answer: Shape, policy: MathGrader) -> Decision:
    assert isinstance(gold, Value) and isinstance(answer, Value)
    factor = _unit_factor(gold, answer, policy)
    if factor is None:
        return Decision(False, "unit_differs")
    try:
        left, right = _node(gold.text), _node(answer.text)
    except Unparsed:
        return OPEN
    if isinstance(left, Operation) and left.name == "deg":
        return _degrees(left, right, policy)
    if isinstance(right, Operation) and right.name == "deg":
        plain = _numbers(left, right.arguments[0], policy)
        return plain if plain.equal else _numbers(left, right, policy)
    scales = _percent_scales(gold, answer, policy)
    if not scales:
        return Decision(False, "percent_differs")
    decision = DIFFERENT
    for scale in scales:
        scaled = right if scale * factor == 1 else Operation("*", (right, Number(scale * factor)))
        decision = _numbers(left, scaled, policy)
        if decision.equal:
            return decision
    return decision


@lru_cache(maxsize=4096)
def _node(text: str) -> Node:
    return parse(text)


def _unit_factor(gold: Value, answer: Value, policy: MathGrader) -> Fraction | None:
    """By what to multiply the answer to have it in the gold's unit; None where the units forbid it."""
    if policy.units == "ignore" or gold.unit == answer.unit:
        return Fraction(1)
    if gold.unit and answer.unit:
        return conversion(gold.unit, answer.unit)
    return None if policy.units == "strict" else Fraction(1)


def _percent_scales(gold: Value, answer: Value, policy: MathGrader) -> list[Fraction]:
    """Factors on the answer under which it may equal the gold."""
    if gold.percent == answer.percent or policy.percent == "ignore":
        return [Fraction(1)]
    if policy.percent == "strict":
        return []
    by_value = Fraction(1, 100) if answer.percent else Fraction(100)
    return [by_value] if policy.percent == "value" else [Fraction(1), by_value]


def _degrees(gold: Operation, answer: Node, policy: MathGrader) -> Decision:
    """90 degrees: as `90^\\circ`, as 90, or in radians (`\\pi/2`)."""
    inner = answer.arguments[0] if isinstance(answer, Operation) and answer.name == "deg" else answer
    plain = _numbers(gold.arguments[0], inner, policy)
    if plain.equal or inner is not answer:
        return plain
    return _numbers(gold, answer, policy)


def _numbers(gold: Node, answer: Node, policy: MathGrader) -> Decision:
    same = evaluation.equal(gold, answer)
    if same is None:
        return OPEN
    if same:
        return SAME
    if policy.tolerance > 0 and floats.within(gold, answer, policy.tolerance):
        return Decision(True, "within_tolerance")
    if policy.decimals == "rounded" and (_rounded(answer, gold) or _rounded(gold, answer)):
        return Decision(True, "rounded")
    return DIFFERENT


def _rounded(decimal: Node, exactly: Node) -> bool:
    """Whether a decimal literal is the rounding of a value that no decimal can be: 2.6667 of 8/3."""
    literal = decimal.arguments[0] if isinstance(decimal, Operation) and decimal.name == "neg" else decimal
    if not isinstance(literal, Number) or literal.decimals < 3 or symbols(exactly):
        return False
    digits = str(abs(literal.value.numerator) * 10**literal.decimals // literal.value.denominator)
    if len(digits) < _FEWEST_DIGITS:
        return False
    rational = evaluation.value(exactly)
    if rational is not None and _terminates(rational):
        return False
    return floats.near(decimal, exactly, Fraction(1, 2 * 10**literal.decimals))


def _terminates(number: Fraction) -> bool:
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
