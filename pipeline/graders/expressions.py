"""A small parser of the mathematics that answers are written in: from tidied text to a tree.

It covers arithmetic, fractions, roots, powers, the elementary functions, factorials, binomials, absolute
values and variables with subscripts. What it does not know it refuses (Unparsed), and math-verify is asked.
Length, depth and size are bounded, so that it may run in the calling process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from pipeline.errors import StarError

LONGEST = 1_500
DEEPEST = 60
LARGEST = 600
LONGEST_NUMBER = 400

_FUNCTION_NAMES = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp sqrt abs"
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_ALIASES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell"
)
_GREEK = frozenset(_GREEK_NAMES.split())
_APPLIED = frozenset("fghFGHPQ")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)|\\(?P<command>[A-Za-z]+)|"
    r"(?P<word>[A-Za-z]+)|(?P<sign>\\[{}|]|[-+*/^_!(){}\[\]|%',<>=:]))"
)
_MIXED = re.compile(
    r"\s*(?:\\frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))|(?<=\s)(\d+)\s*/\s*(\d+))(?![\d/^])"
)


class Unparsed(StarError):
    """The text is not an expression this parser knows."""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal. `decimals` digits stand after its point (0 for an integer)."""

    value: Fraction
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable or a constant (`pi`, `e`, `i`, `inf`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`+ * / ^ neg ! binom floor ceil deg`, a function of `FUNCTIONS`, `root`, `logbase`, or `call:f`."""

    name: str
    arguments: tuple[Node, ...]


Node = Number | Symbol | Operation


def parse(text: str) -> Node:
    """The tree of a tidied text. Raises Unparsed."""
    if len(text) > LONGEST:
        raise Unparsed("too long")
    return _Parser(text).whole()


def symbols(node: Node) -> frozenset[str]:
    """Names of the variables in a tree; constants left out."""
    if isinstance(node, Symbol):
        return frozenset() if node.name in {"pi", "e", "i", "inf"} else frozenset({node.name})
    if isinstance(node, Operation):
        return frozenset().union(*(symbols(part) for part in node.arguments))
    return frozenset()


def operations(node: Node) -> frozenset[str]:
    """Names of all operations in a tree."""
    if isinstance(node, Operation):
        return frozenset({node.name}).union(*(operations(part) for part in node.arguments))
    return frozenset()


def _is_differential(node: Node) -> bool:
    """`d`, `dx`, `d^2 y`: products that begin with the letter d."""
    while isinstance(node, Operation) and node.name in {"*", "^"}:
        node = node.arguments[0]
    return node == Symbol("d")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                if not text[position:].strip():
                    break
                raise Unparsed(text[position : position + 10])
            kind = match.lastgroup or ""
            self._add(kind, match.group(kind), match.start(kind))
            position = match.end()
        self._at = 0
        self._depth = 0
        self._size = 0
        self._bars = 0

    def _add(self, kind: str, value: str, start: int) -> None:
        if kind == "word":
            name = _ALIASES.get(value, value)
            if name in FUNCTIONS or name in {"pi", "inf", "infty", "infinity", "oo"}:
                self._tokens.append(
                    ("command", "infty" if name in {"inf", "infinity", "oo"} else name, start)
                )
            elif len(value) <= 3:
                self._tokens.extend(("letter", letter, start + number) for number, letter in enumerate(value))
            else:
                raise Unparsed(value)
        else:
            self._tokens.append((kind, value, start))

    def whole(self) -> Node:
        node = self._sum()
        if self._at != len(self._tokens):
            raise Unparsed(self._peek()[1])
        return node

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", len(self._text))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, sign: str) -> bool:
        if self._peek()[:2] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise Unparsed(f"expected {sign}")

    def _make(self, name: str, *arguments: Node) -> Operation:
        self._size += 1
        if self._size > LARGEST:
            raise Unparsed("too large")
        return Operation(name, arguments)

    def _sum(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unparsed("too deep")
        node = self._product()
        while self._peek()[:2] in (("sign", "+"), ("sign", "-")):
            minus = self._next()[1] == "-"
            right = self._product()
            node = self._make("+", node, self._make("neg", right) if minus else right)
        self._depth -= 1
        return node

    def _product(self) -> Node:
        node = self._signed()
        while True:
            if self._take("*"):
                node = self._make("*", node, self._signed())
            elif self._take("/"):
                node = self._make("/", node, self._signed())
            elif self._starts_factor():
                node = self._make("*", node, self._power())
            else:
                return node

    def _starts_factor(self) -> bool:
        kind, value, _ = self._peek()
        if kind in {"letter"}:
            return True
        if kind == "number":  # "2 3" is not a product
            return self._tokens[self._at - 1][0] != "number"
        if kind == "command":
            return value in FUNCTIONS or value in _GREEK or value in {
                "pi", "frac", "sqrt", "infty", "binom", "lfloor", "lceil", "text",
            }  # fmt: skip
        return kind == "sign" and (value in "({[" or (value == "|" and self._bars == 0))

    def _signed(self) -> Node:
        negative = False
        for _ in range(8):
            if self._take("-"):
                negative = not negative
            elif not self._take("+"):
                break
        node = self._power()
        return self._make("neg", node) if negative else node

    def _power(self) -> Node:
        node = self._postfix(self._atom())
        if self._take("^"):
            if self._degree_sign():
                return self._postfix(self._make("deg", node))
            node = self._postfix(self._make("^", node, self._exponent()))
        return node

    def _degree_sign(self) -> bool:
        start = self._at
        braced = self._take("{")
        if self._peek()[:2] == ("command", "circ"):
            self._at += 1
            if not braced or self._take("}"):
                return True
        self._at = start
        return False

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._peek()[:2] == ("sign", "!"):
                self._at += 1
                if self._peek()[:2] == ("sign", "!"):
                    raise Unparsed("double factorial")
                node = self._make("!", node)
            else:
                return node

    def _exponent(self) -> Node:
        if self._peek()[:2] == ("sign", "{"):
            return self._group("{", "}")
        if self._peek()[:2] in (("sign", "-"), ("sign", "+")):
            return self._signed()
        return self._power() if self._peek()[1] == "(" else self._single()

    def _single(self) -> Node:
        """One token as an argument: `\\frac12`, `x^2`. A longer number gives only its first digit in
        LaTeX.
        """
        kind, value, start = self._peek()
        if kind == "number" and len(value) > 1 and "." not in value and self._latex():
            self._tokens[self._at] = ("number", value[1:], start + 1)
            return Number(Fraction(value[0]))
        return self._atom()

    def _latex(self) -> bool:
        return (
            "\\" in self._text
            and "**" not in self._text
            and self._tokens[self._at - 1][1] in {"frac", "binom"}
        )

    def _group(self, opening: str, closing: str) -> Node:
        self._need(opening)
        bars, self._bars = self._bars, 0
        node = self._sum()
        self._bars = bars
        self._need(closing)
        return node

    def _argument(self) -> Node:
        return self._group("{", "}") if self._peek()[1] == "{" else self._single()

    def _atom(self) -> Node:
        kind, value, start = self._next()
        if kind == "number":
            return self._number(value, start)
        if kind == "letter":
            return self._letter(value)
        if kind == "command":
            return self._command(value)
        if kind == "sign" and value in "([{":
            self._at -= 1
            return self._group(value, {"(": ")", "[": "]", "{": "}"}[value])
        if kind == "sign" and value == "|":
            self._bars += 1
            node = self._sum()
            self._bars -= 1
            self._need("|")
            return self._make("abs", node)
        raise Unparsed(value or "the end")

    def _number(self, value: str, start: int) -> Node:
        if len(value) > LONGEST_NUMBER:
            raise Unparsed("long number")
        plain = value.replace(",", "")
        if self._peek()[:2] == ("sign", "_"):
            raise Unparsed("a base")
        number = Number(Fraction(plain), len(plain.partition(".")[2]))
        mixed = _MIXED.match(self._text, start + len(value)) if number.decimals == 0 else None
        if mixed:
            above, below = (group for group in mixed.groups() if group is not None)
            if int(below) and int(above) < int(below):
                while self._at < len(self._tokens) and self._tokens[self._at][2] < mixed.end():
                    self._at += 1
                return Number(number.value + Fraction(int(above), int(below)))
        return number

    def _letter(self, letter: str) -> Node:
        name = letter + self._subscript()
        while self._take("'"):
            name += "'"
        if (letter in _APPLIED or name.endswith("'")) and self._peek()[1] == "(":
            arguments = self._call()
            return self._make(f"call:{name}", *arguments)
        return Symbol(name)

    def _call(self) -> list[Node]:
        self._need("(")
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._need(")")
        return arguments

    def _subscript(self) -> str:
        if not self._take("_"):
            return ""
        if not self._take("{"):
            return "_" + self._next()[1]
        parts = []
        while not self._take("}"):
            kind, value, _ = self._next()
            if kind == "end" or value in {"{", "^"}:
                raise Unparsed("subscript")
            parts.append(value)
        return "_" + "".join(parts)

    def _command(self, name: str) -> Node:
        if name in _GREEK:
            return self._letter(name)
        if name in {"pi", "infty"}:
            return Symbol("inf" if name == "infty" else "pi")
        if name in {"frac", "binom"}:
            above = self._argument()
            self._tokens.insert(self._at, ("command", name, self._peek()[2]))
            self._at += 1
            below = self._argument()
            if name == "frac" and _is_differential(above) and _is_differential(below):
                raise Unparsed("a derivative")
            return self._make("/" if name == "frac" else "binom", above, below)
        if name == "sqrt":
            if self._peek()[1] == "[":
                index = self._group("[", "]")
                return self._make("root", self._argument(), index)
            return self._make("sqrt", self._argument())
        if name in {"lfloor", "lceil"}:
            node = self._sum()
            if self._next()[1] != name.replace("l", "r", 1):
                raise Unparsed(name)
            return self._make("floor" if name == "lfloor" else "ceil", node)
        if name == "text":
            return self._text_symbol()
        if name in FUNCTIONS:
            return self._function(name)
        raise Unparsed(name)

    def _text_symbol(self) -> Node:
        self._need("{")
        kind, value, _ = self._next()
        if kind != "letter" or not self._take("}"):
            raise Unparsed("text")
        return Symbol(value + self._subscript())

    def _function(self, name: str) -> Node:
        base: Node | None = None
        exponent: Node | None = None
        if name == "log" and self._take("_"):
            base = self._argument()
        if self._take("^"):
            exponent = self._exponent()
        if isinstance(exponent, Operation) and exponent.name == "neg":
            raise Unparsed("inverse function")
        argument = self._function_argument()
        node = self._make("logbase", argument, base) if base is not None else self._make(name, argument)
        return node if exponent is None else self._make("^", node, exponent)

    def _function_argument(self) -> Node:
        if self._peek()[1] in {"(", "{", "["} and self._peek()[0] == "sign":
            return self._power()
        node = self._signed()
        while self._peek()[0] in {"letter", "number"} or self._peek()[1] in {"pi", "frac"} | _GREEK:
            if not self._starts_factor():
                break
            node = self._make("*", node, self._power())
        return node
