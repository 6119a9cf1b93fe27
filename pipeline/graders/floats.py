"""Are two expressions equal? By their values at fixed points, in floating point of high precision.

Both sides are evaluated with 60 digits, and where they agree again with so many that the smallest term met
would show beside the largest. The cost of every operation is bounded, so this runs in the calling process;
what exceeds a bound is left open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from pipeline.graders.expressions import Node, Number, Symbol, operations, symbols
from pipeline.graders.rationals import Undecided, hashed

DIGITS = 60
_MORE_DIGITS = 120
_MOST_DIGITS = 3_000
_LARGEST_MAGNITUDE = 10**7
_LARGEST_ARGUMENT = 4096
"""Bits: to reduce a larger argument by multiples of pi takes as many digits of pi, minutes for 10^1000000."""
_POINTS = 3


def equal_at_points(gold: Node, answer: Node) -> bool | None:
    """Whether two trees have the same values at fixed points; None where this stays open."""
    names = symbols(gold) | symbols(answer)
    # An unknown function may be a product after all, and `log` is natural or decimal, depending on who
    # writes.
    vague = any(name == "log" or name.startswith("call:") for name in operations(gold) | operations(answer))
    seen = 0
    for point in range(_POINTS + 2 if names else 1):
        same = _same_at(gold, answer, names, point)
        if same is False:
            return None if vague else False
        seen += same is True
        if seen == (_POINTS if names else 1):
            return True
    return None


def _same_at(gold: Node, answer: Node, names: frozenset[str], point: int) -> bool | None:
    try:
        rough, size = _difference(gold, answer, names, point, DIGITS)
        if rough is not None and rough > 1e-25:
            return False
        # Enough digits to see the smallest term beside the largest: e^1000 is not e^1000 + 1.
        digits = _MORE_DIGITS + 2 * size
        if digits > _MOST_DIGITS:
            return None
        fine, _ = _difference(gold, answer, names, point, digits)
    except (Undecided, ArithmeticError, ValueError):
        return None
    if fine is None or (rough is not None and fine < rough * 1e-30):
        return True
    if rough is None:
        return bool(fine < _context(digits).mpf(10) ** (20 - digits))
    return False if fine > rough * 1e-10 else None


def _difference(
    gold: Node, answer: Node, names: frozenset[str], point: int, digits: int
) -> tuple[Any | None, int]:
    """|gold - answer| relative to the larger (None: exactly equal), and the longest exponent of ten met."""
    run = _Run(_context(digits), {name: _point(_context(digits), name, point) for name in names})
    left, right = _evaluate(gold, run), _evaluate(answer, run)
    context = run.context
    if left == right:
        return None, run.largest
    if context.isinf(left) or context.isinf(right):
        return context.inf, run.largest
    gap = abs(left - right) / max(abs(left), abs(right))
    if context.isnan(gap):
        raise Undecided
    # Two sides that both vanish have a large relative gap; whether they vanish shows in their size alone.
    size = max(abs(left), abs(right))
    return (size if size < context.mpf(10) ** (-digits // 2) else gap), run.largest


@dataclass(slots=True)
class _Run:
    """One evaluation: the arithmetic, the variables, and the longest exponent of ten of any value met."""

    context: Any
    values: Mapping[str, Any]
    largest: int = 0


def _context(digits: int) -> Any:
    """The one arithmetic of this module, set to a precision; a new one takes longer to make than to use."""
    context = _arithmetic()
    context.dps = digits
    return context


@lru_cache(maxsize=1)
def _arithmetic() -> Any:
    from mpmath.ctx_mp import MPContext

    return MPContext()


def _point(context: Any, name: str, point: int) -> Any:
    """A value for a variable: fixed by its name, of either sign, never special."""
    size = context.mpf(hashed(name, point) >> 448) / 2**64
    # Of either sign and of several sizes: what one point drowns, another shows.
    low, high = ((1, 3), (-0.9, -0.2), (0.05, 0.3), (-3, -1), (0.3, 0.9))[point % 5]
    return low + size * (high - low)


def _evaluate(node: Node, run: _Run) -> Any:
    context = run.context
    if isinstance(node, Number):
        result = context.mpf(node.value.numerator) / node.value.denominator
    elif isinstance(node, Symbol):
        if node.name in run.values:
            return run.values[node.name]
        return {"pi": context.pi, "e": context.e, "i": context.mpc(0, 1), "inf": context.inf}[node.name] * 1
    else:
        result = _operation(node.name, [_evaluate(argument, run) for argument in node.arguments], context)
    if context.isnan(result):
        raise Undecided
    if result and not context.isinf(result):
        magnitude = abs(int(context.mag(result)))
        if magnitude > _LARGEST_MAGNITUDE:
            raise Undecided
        run.largest = max(run.largest, magnitude * 3 // 10)
    return result


def _operation(name: str, parts: list[Any], context: Any) -> Any:
    first = parts[0]
    match name:
        case "+":
            return first + parts[1]
        case "*":
            return first * parts[1]
        case "/":
            if parts[1] == 0:
                raise Undecided
            return first / parts[1]
        case "neg":
            return -first
        case "deg":
            return first * context.pi / 180
        case "abs":
            return abs(first)
        case "^":
            return _power(first, parts[1], context)
        case "sqrt":
            return context.sqrt(first)
        case "root":
            return _root(first, parts[1], context)
        case "!":
            return _gamma(first, context)
        case "binom":
            return _gamma(first, context) / _gamma(parts[1], context) / _gamma(first - parts[1], context)
        case "floor" | "ceil":
            return getattr(context, name)(first)
        case "logbase":
            return context.log(first) / context.log(parts[1])
        case _:
            return _function(name, parts, context)


def _function(name: str, parts: list[Any], context: Any) -> Any:
    if name in {"ln", "log", "lg"}:
        if parts[0] == 0:
            raise Undecided
        scale = {"ln": 1, "log": context.mpf("1.0986122886681098"), "lg": context.log(10)}[name]
        return context.log(parts[0]) / scale
    if any(part and context.mag(part) > _LARGEST_ARGUMENT for part in parts):
        raise Undecided
    if name.startswith("call:"):  # an unknown function: any fixed smooth one tells f(2) from 2f
        seed = _point(context, name, 0)
        return seed + sum(
            context.cos(seed * number + part) * number for number, part in enumerate(parts, start=2)
        )
    if name in {"exp", "sinh", "cosh"} and abs(first_real(parts[0])) > _LARGEST_MAGNITUDE:
        raise Undecided
    names = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
    return getattr(context, names.get(name, name))(parts[0])


def first_real(number: Any) -> float:
    """The real part as a float, infinite where it does not fit."""
    try:
        return float(number.real)
    except OverflowError:
        return float("inf")


def _power(base: Any, exponent: Any, context: Any) -> Any:
    if base == 0:
        if first_real(exponent) <= 0:
            raise Undecided
        return base
    if context.isinf(base) or context.isinf(exponent):
        raise Undecided
    size = context.mag(exponent) + context.mag(context.log(abs(base)) or 1)
    if size > 23:
        raise Undecided
    negative_root = context.im(base) == 0 and context.re(base) < 0 and not context.isint(exponent)
    if negative_root:  # the real and the principal root differ, and both are written like this
        raise Undecided
    return context.power(base, exponent)


def _root(base: Any, index: Any, context: Any) -> Any:
    if not context.isint(index) or not 1 <= index <= 1000:
        raise Undecided
    if context.im(base) == 0 and context.re(base) < 0 and int(context.re(index)) % 2:
        return -context.root(-context.re(base), int(context.re(index)))
    return context.root(base, int(context.re(index)))


def _gamma(number: Any, context: Any) -> Any:
    if context.im(number) != 0 or abs(first_real(number)) > 10**5:
        raise Undecided
    if number < 0 and context.isint(number):
        raise Undecided
    return context.gamma(number + 1)


def within(gold: Node, answer: Node, tolerance: float) -> bool:
    """Whether two numbers differ by at most `tolerance` relative to the gold."""
    values = _two_numbers(gold, answer)
    return values is not None and bool(abs(values[0] - values[1]) <= tolerance * abs(values[0]))


def near(left: Node, right: Node, distance: Fraction) -> bool:
    """Whether two numbers differ by at most `distance`."""
    values = _two_numbers(left, right)
    limit = _context(DIGITS).mpf(distance.numerator) / distance.denominator
    return values is not None and bool(
        abs(values[0] - values[1]) <= limit * (1 + _context(DIGITS).mpf(10) ** -30)
    )


def _two_numbers(left: Node, right: Node) -> tuple[Any, Any] | None:
    if symbols(left) or symbols(right):
        return None
    context = _context(DIGITS)
    try:
        return _evaluate(left, _Run(context, {})), _evaluate(right, _Run(context, {}))
    except (Undecided, ArithmeticError, ValueError):
        return None


def constant_factor(gold: Node, answer: Node) -> float | None:
    """The constant c with answer = c * gold at all points, or None where there is none."""
    context = _context(DIGITS)
    names = symbols(gold) | symbols(answer)
    ratios: list[Any] = []
    for point in range(_POINTS + 2):
        values = {name: _point(context, name, point) for name in names}
        try:
            run = _Run(context, values)
            below, above = _evaluate(gold, run), _evaluate(answer, run)
            if below == 0:
                continue
            ratios.append(above / below)
        except (Undecided, ArithmeticError, ValueError):
            continue
    if len(ratios) < _POINTS or context.im(ratios[0]) != 0 or ratios[0] == 0:
        return None
    if any(abs(ratio - ratios[0]) > abs(ratios[0]) * context.mpf(10) ** -45 for ratio in ratios):
        return None
    return first_real(ratios[0])
