"""`calculate_output`: a formula over the scores of graders, read through a whitelist of syntax; no `eval`."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

from pipeline.errors import ConfigError

_LONGEST = 1_000
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "sqrt": math.sqrt,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "log": math.log,
}


class Formula:
    """A checked formula. Raises ConfigError at once for syntax or names that are not allowed."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise ConfigError(f"calculate_output has {len(text)} characters; expected at most {_LONGEST}")
        try:
            self._tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ConfigError(f"calculate_output {text!r} is not a formula: {error}") from None
        self.names = self._check(self._tree, names)

    def _check(self, node: ast.expr, names: frozenset[str]) -> frozenset[str]:
        match node:
            case ast.Name(id=name) if name in names:
                return frozenset({name})
            case ast.Name(id=name):
                raise self._wrong(f"{name!r} is none of the graders ({', '.join(sorted(names))})")
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return frozenset()
            case ast.BinOp(op=sign) if type(sign) in _BINARY:
                parts = [node.left, node.right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                parts = [node.operand]
            case ast.Compare(ops=[sign]) if type(sign) in _COMPARE:
                parts = [node.left, node.comparators[0]]
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS and node.args:
                parts = list(node.args)
            case _:
                raise self._wrong(f"{ast.unparse(node)!r} is not allowed")
        return frozenset().union(*(self._check(part, names) for part in parts))

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(
            f"calculate_output {self.text!r}: {what}; expected numbers, names, + - * / **, one comparison "
            f"and {', '.join(_FUNCTIONS)}"
        )

    @property
    def factors(self) -> frozenset[str]:
        """Graders that multiply the whole: if one of them is 0, so is the output."""
        return _factors(self._tree)

    def value(self, scores: Mapping[str, float]) -> float | None:
        """The output for these scores; None where it has none (division by zero, log of 0, overflow)."""
        try:
            result = _value(self._tree, scores)
            return result if math.isfinite(result) else None  # TypeError: a root of a negative number
        except (ArithmeticError, ValueError, TypeError):
            return None


def _factors(node: ast.expr) -> frozenset[str]:
    if isinstance(node, ast.Name):
        return frozenset({node.id})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _factors(node.left) | _factors(node.right)
    return frozenset()


def _value(node: ast.expr, scores: Mapping[str, float]) -> float:
    match node:
        case ast.Name(id=name):
            return float(scores[name])
        case ast.Constant(value=number):
            return float(number)  # type: ignore[arg-type]  # checked: int or float
        case ast.BinOp(left=left, op=sign, right=right):
            return _BINARY[type(sign)](_value(left, scores), _value(right, scores))
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, scores)
        case ast.UnaryOp(operand=inner):
            return _value(inner, scores)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return float(_COMPARE[type(sign)](_value(left, scores), _value(right, scores)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return float(_FUNCTIONS[name](*(_value(part, scores) for part in arguments)))
    raise TypeError(ast.dump(node))
