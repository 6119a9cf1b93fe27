"""Are two expressions equal? In rational arithmetic, which is exact: fractions, or modulo large primes.

The cost of every operation is bounded (exponents, factorials); what exceeds a bound is left open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction

from pipeline.graders.expressions import Node, Number, Symbol, symbols

_LARGEST_EXPONENT = 20_000
_LARGEST_BITS = 20_000
_LARGEST_FACTORIAL = 500
_LARGEST_FACTORIAL_MODULO = 100_000
_PRIMES = (2**127 - 1, 2**521 - 1, 2**607 - 1)


class Undecided(Exception):
    """A bound was exceeded, or the value does not exist at this point."""


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


def equal_modulo_primes(gold: Node, answer: Node) -> bool:
    """Polynomial identity testing (Schwartz 1980, Zippel 1979) for rational functions with whole exponents.

    Exact where values at points are not: beside (1+x)^500, a difference of 1 is lost in any precision. Raises
    Undecided for trees with other operations.
    """
    names = symbols(gold) | symbols(answer)
    for point, prime in enumerate(_PRIMES):
        values = {name: hashed(name, point) % prime for name in names}
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


def hashed(name: str, point: int) -> int:
    """512 bits fixed by a name and a number."""
    return int.from_bytes(hashlib.blake2b(f"{name}/{point}".encode()).digest(), "big")
