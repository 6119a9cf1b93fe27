"""Mathematics as people and models type it, in one spelling: LaTeX, ASCII and Unicode to a small common set.

The result keeps `\\frac`, `\\sqrt`, braces and brackets; `*`, `/`, `^`, `<=`, `>=`, `!=` are ASCII; every
kind of
upright text is `\\text{...}`; spaces survive only where they can mean something.
"""

from __future__ import annotations

import re

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/",
    "≤": "<=", "≥": ">=", "≠": "!=", "π": "\\pi ", "∞": "\\infty ", "√": "\\sqrt ", "°": "^\\circ ",
    "∪": "\\cup ",
    "²": "^2", "³": "^3", "½": "\\frac{1}{2}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}", "±": "\\pm ",
    "∈": "\\in ",
    "θ": "\\theta ", "，": ",", "：": ":", "（": "(", "）": ")", "€": "", "£": "", "¥": "", "%": "%",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2061": "", "\u200b": "",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_COMMANDS = {
    "dfrac": "\\frac", "tfrac": "\\frac", "cfrac": "\\frac", "times": "*", "cdot": "*", "ast": "*",
    "div": "/",
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=",
    "neq": "!=",
    "lt": "<", "gt": ">", "left": "", "right": "", "bigl": "", "bigr": "", "Bigl": "", "Bigr": "",
    "big": "", "Big": "",
    "biggl": "", "biggr": "", "mleft": "", "mright": "", "displaystyle": "", "textstyle": "", "limits": "",
    "quad": " ", "qquad": " ", "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "degree": "^\\circ ", "mathrm": "\\text",
    "mathbf": "\\text",
    "textbf": "\\text", "textrm": "\\text", "textit": "\\text", "mathit": "\\text", "mbox": "\\text",
    "mathsf": "\\text",
    "textnormal": "\\text", "boldsymbol": "\\text", "operatorname": "\\text", "dots": "\\dots",
    "ldots": "\\dots",
    "cdots": "\\dots", "varphi": "\\phi", "lor": " or ", "vee": " or ", "land": " and ", "wedge": " and ",
    "imath": "i", "dbinom": "\\binom", "tbinom": "\\binom", "emptyset": "\\emptyset",
    "varnothing": "\\emptyset",
    "infin": "\\infty", "colon": ":", "sim": "\\sim",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)\s*")
_DIGIT_SPACE = re.compile(r"(?<=\d)\\[,!]\s*(?=\d)|(?<=,)\\!\s*(?=\d)")
_SPACE_COMMAND = re.compile(r"(?<!\\)\\[!,;:> ]|~")
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z]{2})")
_TEXT_JOINT = re.compile(r"\\text\s*\{\s*(,?\s*(?:and|or),?)\s*\}")
_TEXT_NUMBER = re.compile(r"\\text\s*\{\s*([-+]?[\d.,]+)\s*\}")
_INFINITY = re.compile(r"(?<![A-Za-z\\])infinity\b", re.IGNORECASE)
_PERCENT = re.compile(r"\\%|\\text\s*\{\s*(?:percent|pct|%)\s*\}|\s*\b(?:percent(?:age)?|pct)\b")
_SPACES = re.compile(r"\s+")
_USELESS_SPACE = re.compile(r"(?<![\w,}\])%]) | (?![\w\\({\[])")
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$|\\\$")
_END = re.compile(r"(?:[\s.;,:]|(?<!\\)\\{1,2}|\\\s)+$")
_SCIENTIFIC = re.compile(r"(?<=\d)[eE]([-+]?\d{1,4})(?![\d.])")
_TIMES_TEN = re.compile(r"(?<=\d) ?[xX] ?(?=10 ?\^)")
_REPEATING = re.compile(
    r"(?<![\d.])(\d{0,300})\.(\d{0,100}?)"
    r"(?:\\(?:overline|bar|dot) ?(?:\{ ?(\d{1,100}) ?\}|(\d))|(\d)\5{2,99}(?:\.\.\.|…|\\l?dots(?![A-Za-z])))"
)
_CHOICE_LABEL = re.compile(r"^\\text ?\{ ?\(?[A-E]\)[.:]? ?\} ?(?=\S)")
_EMPTY_BRACES = re.compile(r"\{\}")


def tidy(text: str) -> str:
    """`text` in the common spelling. Linear in its length; never raises."""
    plain = text if "\\begin" in text else _ESCAPED_TWICE.sub(r"\\", text)
    plain = _DELIMITERS.sub(" ", plain.strip())
    plain = plain.strip(" *").replace("{,}", ",").replace("**", "^")
    plain = _SIGN.sub(lambda found: _SIGNS[found.group()], plain)
    plain = _TIMES_TEN.sub("*", plain)
    if "." in plain:
        plain = _REPEATING.sub(_repeated, plain)
    if "\\" not in plain:
        plain = _SCIENTIFIC.sub(r"*10^{\1}", plain)
    plain = _DIGIT_SPACE.sub("", plain)
    plain = _PERCENT.sub("%", plain)
    plain = _SPACE_COMMAND.sub(" ", plain)
    plain = _COMMAND.sub(_respell, plain)
    plain = _CHOICE_LABEL.sub("", plain)
    plain = _TEXT_JOINT.sub(r" \1 ", plain)
    plain = _TEXT_NUMBER.sub(r" \1", plain)
    plain = _INFINITY.sub(r"\\infty ", plain)
    plain = _EMPTY_BRACES.sub("", plain)
    plain = _END.sub("", _SPACES.sub(" ", plain).strip())
    return _USELESS_SPACE.sub("", plain)


def _respell(found: re.Match[str]) -> str:
    name = found.group(1)
    known = _COMMANDS.get(name)
    if known is None:
        known = f"\\{name}"
    if known and known[-1].isalpha() and known[0] == "\\":
        follower = found.string[found.end() : found.end() + 1]
        return f"{known} " if follower.isalnum() else known
    return known


def _repeated(found: re.Match[str]) -> str:
    """`0.1\\overline{6}` and `0.1666...` as the fraction that they are."""
    whole, fixed, *cycles = found.groups()
    cycle = next(digits for digits in cycles if digits)
    below = (10 ** len(cycle) - 1) * 10 ** len(fixed)
    above = int(whole + fixed + cycle) - int((whole + fixed) or "0")
    return f"\\frac{{{above}}}{{{below}}}"


def unwrapped_text(text: str) -> str:
    """`text` without `\\text{...}` around its words."""
    return re.sub(r"\\text ?\{([^{}]*)\}", r"\1", text)


def split_top(text: str, separators: re.Pattern[str]) -> list[str]:
    """`text` cut where `separators` matches outside all brackets. Half-open intervals may mix ( and ]."""
    parts: list[str] = []
    depth = 0
    start = position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text) and text[position + 1] in "{}":
            depth += 1 if text[position + 1] == "{" else -1
            position += 2
            continue
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0:
            match = separators.match(text, position)
            if match and match.end() > position:
                parts.append(text[start:position])
                start = position = match.end()
                continue
        position += 1
    parts.append(text[start:])
    return [part.strip() for part in parts]
