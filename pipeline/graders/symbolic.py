"""math-verify behind guards: the last resort for what neither fractions nor numbers decide.

Runs in a worker process only. Both sides are wrapped in `$...$`: a bare `parse("x + 1")` gives 1. Only
math-verify's LaTeX extraction is used: its plain one hands the text to SymPy's `parse_expr`, which evaluates
Python. Its own time limits are switched off (they are alarms with a resolution of seconds, and a timeout
looks like "wrong"); the worker has a soft limit and the pool a hard one.

math-verify says True for pairs that are not equal: it rounds absolutely, takes a tuple for a set, drops
units, bases and percent signs. A True is therefore believed only when the guards agree.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

RELATIVE = 1e-12
"""Two numbers that differ by more than this (relatively) are not equal, whatever math-verify rounds."""

_ASCII_FUNCTION = re.compile(
    r"(?<![\\a-zA-Z])(sqrt|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|exp)(?![a-zA-Z])"
)
_SQRT_CALL = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_SCIENTIFIC = re.compile(r"(?<=\d)[eE]([-+]?\d{1,4})(?!\d)")
_BASE = re.compile(r"\d_\{?\d")
_ALTERNATIVES = re.compile(r"(?<![a-zA-Z])or(?![a-zA-Z])|\\lor|\\vee")
_UNIT_TAIL = re.compile(
    r"(?:\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}|(?<=[\d\s}])([a-zA-Z][a-zA-Z ./]*))(?:\^\{?\d\}?)?\s*$"
)


def warm() -> None:
    """Import math-verify and let it build its tables."""
    _parse("\\frac{1}{2}")


def compare(gold: str, answer: str) -> tuple[bool | None, str]:
    """(equal, reason): True or False, or None with the reason why nothing can be said.

    An error of math-verify is raised, not taken for "different": the worker reports it as ungraded.
    """
    if _BASE.search(gold) or _BASE.search(answer):
        return (False, "different") if not _same_base(gold, answer) else (None, "unsupported_base")
    from math_verify import verify

    expected = _parse(gold)
    if not any(not isinstance(part, str) for part in expected):
        return (_reads_same(gold, answer), "text" if _reads_same(gold, answer) else "different")
    given = _parse(answer)
    if not given:
        return None, "unparseable_answer"
    if not verify(list(expected), list(given), timeout_seconds=None, raise_on_error=True):
        return False, "different"
    objection = _objection(gold, answer, expected[0], given[0])
    return (True, "symbolic") if objection is None else (False, f"{objection}_disbelieved")


def _objection(gold: str, answer: str, expected: Any, given: Any) -> str | None:
    """Why a True of math-verify is not believed; None where it is."""
    if ("%" in gold) != ("%" in answer):
        return "percent_differs"
    if gold.count("'") != answer.count("'"):
        return "prime_differs"
    if _unit(gold) and _unit(answer) and _unit(gold) != _unit(answer):
        return "unit_differs"
    if bool(_ALTERNATIVES.search(gold)) != bool(_ALTERNATIVES.search(answer)) and _numbers(gold) != _numbers(
        answer
    ):
        return "alternatives_differ"
    if answer.count("=") > 1 and gold.count("=") <= 1:
        return "chain_of_equations"
    if _container(gold) and _container(answer) and _container(gold) != _container(answer):
        return "container_differs"
    return None if _numerically_equal(expected, given) else "numerically_different"


def _numerically_equal(expected: Any, given: Any) -> bool:
    from sympy import Expr, N

    if not (isinstance(expected, Expr) and isinstance(given, Expr)):
        return True
    if expected.free_symbols or given.free_symbols:
        return True
    left, right = (complex(N(side.doit(), 30)) for side in (expected, given))
    return abs(left - right) <= RELATIVE * max(abs(left), abs(right))


@lru_cache(maxsize=512)
def _parse(text: str) -> tuple[Any, ...]:
    from math_verify import LatexExtractionConfig, parse

    return tuple(parse(f"${latex(text)}$", [LatexExtractionConfig()], parsing_timeout=None))


def latex(text: str) -> str:
    """ASCII mathematics written as LaTeX: `sqrt(2)`, `5.1e-2`, `+7`."""
    plain = (
        text.strip()
        .strip("$")
        .strip()
        .lstrip("+")
        .replace("**", "^")
        .replace("≤", "\\le ")
        .replace("≥", "\\ge ")
    )
    plain = _ASCII_FUNCTION.sub(r"\\\1", plain)
    plain = _SQRT_CALL.sub(r"\\sqrt{\1}", plain)
    return _SCIENTIFIC.sub(r"\\cdot 10^{\1}", plain)


def _reads_same(gold: str, answer: str) -> bool:
    return _words(gold) == _words(answer) != ""


def _words(text: str) -> str:
    inner = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
    return re.sub(r"[\s$.,;:!]+", "", inner).casefold()


def _same_base(gold: str, answer: str) -> bool:
    return bool(_BASE.search(gold)) and bool(_BASE.search(answer)) and _words(gold) == _words(answer)


def _numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


def _unit(text: str) -> str:
    match = _UNIT_TAIL.search(text.strip().strip("$").strip())
    return re.sub(r"\s+", "", (match.group(1) or match.group(2) or "")).casefold() if match else ""


def _container(text: str) -> str:
    stripped = text.strip().strip("$").strip().replace("\\left", "").replace("\\right", "").strip()
    if stripped.startswith("\\{"):
        return "set"
    return stripped[:1] if stripped[:1] in "([" else ""
