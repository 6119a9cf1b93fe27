"""Are two expressions equal? Exact fractions where there are only numbers, else values at high precision."""

from __future__ import annotations

from fractions import Fraction

from pipeline.graders.expressions import Node
from pipeline.graders.floats import equal_at_points
from pipeline.graders.rationals import Undecided, equal_modulo_primes, exact


def equal(gold: Node, answer: Node) -> bool | None:
    """Whether two trees have the same value for all values of their variables; None where this stays open."""
    try:
        left, right = exact(gold), exact(answer)
        if left is not None and right is not None:
            return left == right
    except Undecided:
        pass
    try:
        return equal_modulo_primes(gold, answer)
    except Undecided:
        pass
    try:
        return equal_at_points(gold, answer)
    except Undecided:
        return None


def value(node: Node) -> Fraction | None:
    """The exact rational value, or None where there is none or it is out of bounds."""
    try:
        return exact(node)
    except Undecided:
        return None
