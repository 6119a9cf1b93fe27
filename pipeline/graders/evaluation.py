"""Are two expressions equal? Exact fractions where there are only numbers, else values at high precision.

Rational arithmetic is exact; with variables it is done modulo large primes. Everything else is evaluated with
60 digits at fixed points, and where the two sides agree again with so many digits that the smallest term met
would show beside the largest. The cost of every operation is bounded (exponents, factorials), so this runs in
the calling process; what exceeds a bound is left open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from pipeline.graders.expressions import Node, Number, Symbol, operations, symbols

DIGITS = 60
_MORE_DIGITS = 120
_MOST_DIGITS = 3_000
_LARGEST_EXPONENT = 20_000
_LARGEST_BITS = 20_000
_LARGEST_FACTORIAL = 500
_LARGEST_FACTORIAL_MODULO = 100_000
_LARGEST_MAGNITUDE = 10**7
_LARGEST_ARGUMENT = 4096
"""Bits: to reduce a larger argument by multiples of pi takes as many digits of pi, minutes for 10^1000000."""
_POINTS = 3
_PRIMES = (2**127 - 1, 2**521 - 1, 2**607 - 1)


class Undecided(Exception):
    """A bound was exceeded, or the value does not exist at this point."""


def equal(gold: Node, answer: Node) -> bool | None:
    """Whether two trees have the same value for all values of their variables; None where this stays open."""
    try:
        left, right = exact(gold), exact(answer)
        if left is not None and right is not None:
            return left == right
    except Undecided:
        pass
    try:
        return _equal_modulo_primes(gold, answer)
    except Undecided:
        pass
    try:
        return _equal_at_points(gold, answer)
    except Undecided:
        return None


def value(node: Node) -> Fraction | None:
    """The exact rational value, or None where there is none or it is out of bounds."""
    try:
        return exact(node)
    except Undecided:
        return None


def exact(node: Node) -> Fraction | None:
    """The exact value of a tree of rational numbers, else None. Raises Undecided beyond the bounds."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Symbol):
        return None
    parts: list[Fraction] = []
    for argument in node.arguments:
        part = exact(argument)
        if part is None:
            return None
        parts.append(part)
    result = _exact_operation(node.name, parts)
    if result is not None and result.numerator.bit_length() + result.denominator.bit_length() > _LARGEST_BITS:
        raise Undecided
    return result


def _exact_operation(name: str, parts: list[Fraction]) -> Fraction | None:
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
        case "abs":
            return abs(first)
        case "^":
            return _exact_power(first, parts[1])
        case "!":
            return _factorial(first)
        case "binom":
            return _binomial(first, parts[1])
        case "floor":
            return Fraction(first.__floor__())
        case "ceil":
            return Fraction(first.__ceil__())
        case _:
            return None


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        return None
    power = int(exponent)
    bits = base.numerator.bit_length() + base.denominator.bit_length()
    if (base == 0 and power <= 0) or abs(power) > _LARGEST_EXPONENT or bits * abs(power) > _LARGEST_BITS:
        raise Undecided
    return base**power


def _factorial(number: Fraction) -> Fraction:
    if number.denominator != 1 or not 0 <= number <= _LARGEST_FACTORIAL:
        raise Undecided
    product = 1
    for factor in range(2, int(number) + 1):
        product *= factor
    return Fraction(product)


def _binomial(above: Fraction, below: Fraction) -> Fraction:
    if above.denominator != 1 or below.denominator != 1 or not 0 <= below <= above <= _LARGEST_FACTORIAL:
        raise Undecided
    return _factorial(above) / (_factorial(below) * _factorial(above - below))


def _equal_modulo_primes(gold: Node, answer: Node) -> bool:
    """Polynomial identity testing (Schwartz 1980, Zippel 1979) for rational functions with whole exponents.

    Exact where values at points are not: beside (1+x)^500, a difference of 1 is lost in any precision. Raises
    Undecided for trees with other operations.
    """
    names = symbols(gold) | symbols(answer)
    for point, prime in enumerate(_PRIMES):
        values = {name: _hashed(name, point) % prime for name in names}
        if _modulo(gold, values, prime) != _modulo(answer, values, prime):
            return False
    return True


def _modulo(node: Node, values: Mapping[str, int], prime: int) -> int:
    if isinstance(node, Number):
        return _divided(node.value.numerator, node.value.denominator, prime)
    if isinstance(node, Symbol):
        if node.name not in values:
            raise Undecided
        return values[node.name]
    if node.name == "^":
        exponent = exact(node.arguments[1])
        if exponent is None or exponent.denominator != 1:
            raise Undecided
        base = _modulo(node.arguments[0], values, prime)
        if base == 0 and exponent <= 0:
            raise Undecided
        return pow(base, int(exponent), prime)
    parts = [_modulo(argument, values, prime) for argument in node.arguments]
    match node.name:
        case "+":
            return (parts[0] + parts[1]) % prime
        case "*":
            return parts[0] * parts[1] % prime
        case "/":
            return _divided(parts[0], parts[1], prime)
        case "neg":
            return -parts[0] % prime
        case "!":
            return _factorial_modulo(exact(node.arguments[0]), prime)
    raise Undecided


def _factorial_modulo(number: Fraction | None, prime: int) -> int:
    if number is None or number.denominator != 1 or not 0 <= number <= _LARGEST_FACTORIAL_MODULO:
        raise Undecided
    product = 1
    for factor in range(2, int(number) + 1):
        product = product * factor % prime
    return product


def _divided(above: int, below: int, prime: int) -> int:
    if below % prime == 0:
        raise Undecided
    return above * pow(below, -1, prime) % prime


def _equal_at_points(gold: Node, answer: Node) -> bool | None:
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
    size = context.mpf(_hashed(name, point) >> 448) / 2**64
    # Of either sign and of several sizes: what one point drowns, another shows.
    low, high = ((1, 3), (-0.9, -0.2), (0.05, 0.3), (-3, -1), (0.3, 0.9))[point % 5]
    return low + size * (high - low)


def _hashed(name: str, point: int) -> int:
    """512 bits fixed by a name and a number."""
    return int.from_bytes(hashlib.blake2b(f"{name}/{point}".encode()).digest(), "big")


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
