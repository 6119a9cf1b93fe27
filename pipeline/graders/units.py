"""Units after a number: one name for each, and factors where two units measure the same."""

from __future__ import annotations

import re
from fractions import Fraction

_LINES = """
length: 1/1000 mm millimeter | 1/100 cm centimeter centimetre | 1 m meter metre | 1000 km kilometer kilometre
imperial length: 5280 mi mile | 3 yd yard | 1 ft foot feet | 1/12 in inch inche
mass: 1000 kg kilogram kilo | 1 g gram gm | 1/1000 mg milligram
imperial mass: 1 lb pound | 1/16 oz ounce
time: 3600 h hr hour | 60 min minute | 1 s sec second | 86400 day
volume: 1 l liter litre | 1/1000 ml milliliter millilitre
imperial volume: 1 gal gallon | 1/4 qt quart | 1/8 pt pint | 1/16 cup
money: 1 dollar buck usd | 1/100 cent
euros: 1 euro eur
angle: 1 degree deg
"""
_KNOWN: dict[str, tuple[str, Fraction]] = {}
for _line in _LINES.strip().splitlines():
    _kind, _, _rest = _line.partition(":")
    for _entry in _rest.split("|"):
        _factor, *_names = _entry.split()
        _KNOWN.update({_name: (_kind, Fraction(_factor)) for _name in _names})

_TEXT_UNIT = re.compile(r"\s*\\text ?\{\s*([^{}]{1,60}?)\s*\}(?:\^ ?\{?(\d)\}?)?$")
_PLAIN_UNIT = re.compile(
    r"(?<=[\d}%)]) ?([A-Za-z][A-Za-z./ ]{0,40}?|[\u0400-\uffff]{1,10})(?:\^ ?\{?(\d)\}?)?$"
)
_FUNCTION = re.compile(r"^(?:sin|cos|tan|log|ln|sqrt|pi|or\b|and\b|in\b|inf\b|infin)")
_SIGNS = {"$": "dollar", "\\$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_PRICE = re.compile(r"\s*(?P<minus>[-−]?)\s*(?P<sign>\\\$|[$€£¥])\s*(?P<number>\d[\d,]*(?:\.\d+)?|\.\d+)\s*")
_CURRENCIES = frozenset({"dollar", "cent", "euro", "lb", "yen"})


def split_unit(text: str) -> tuple[str, str]:
    """A tidied answer as (value, unit): `5 \\text{ km}^2` gives `5` and `km^2`; unit "" where there
    is none.
    """
    match = _TEXT_UNIT.search(text)
    if (
        match
        and match.start() > 0
        and text[match.start() - 1] not in "+-*/^_=\\"
        and not _is_variable(match.group(1))
    ):
        return text[: match.start()].strip(), canonical(match.group(1), match.group(2))
    match = _PLAIN_UNIT.search(text)
    if match and not _FUNCTION.match(match.group(1)) and _reads_as_unit(text, match):
        return text[: match.start()].strip(), canonical(match.group(1), match.group(2))
    return text, ""


def _is_variable(name: str) -> bool:
    return len(name) == 1 and name not in {"m", "g", "s", "h", "L", "l"}


def _reads_as_unit(text: str, match: re.Match[str]) -> bool:
    name = match.group(1).strip().casefold()
    if ord(name[0]) > 0x400:
        return True
    word = re.split(r"[ ./]", name)[0]
    known = _singular(word) in _KNOWN
    spaced = text[match.start() : match.start() + 1] == " "
    return (known and (spaced or len(word) > 1)) or (len(word) >= 4 and name.isascii())


def canonical(name: str, power: str | None = None) -> str:
    """One spelling of a unit: lower case, singular, known names by their first spelling."""
    words = [
        _singular(word)
        for word in re.split(r"[ ]+", name.casefold().strip(" ."))
        if word not in {"of", "the"}
    ]
    squared = power or (
        "2" if words and words[0] in {"square", "sq"} else "3" if words and words[0] == "cubic" else ""
    )
    if words and words[0] in {"square", "sq", "cubic"} and len(words) > 1:
        words = words[1:]
    return " ".join(_first_name(word) for word in words) + (f"^{squared}" if squared else "")


def _singular(word: str) -> str:
    word = word.casefold().strip(".")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _first_name(word: str) -> str:
    if word not in _KNOWN:
        return word
    return next(name for name, entry in _KNOWN.items() if entry == _KNOWN[word])


def conversion(gold: str, answer: str) -> Fraction | None:
    """By what the answer's number is multiplied to be in the gold's unit; None where they measure
    different things.
    """
    if gold == answer:
        return Fraction(1)
    gold_name, _, gold_power = gold.partition("^")
    answer_name, _, answer_power = answer.partition("^")
    if gold_name not in _KNOWN or answer_name not in _KNOWN or gold_power != answer_power:
        return None
    (gold_kind, gold_size), (answer_kind, answer_size) = _KNOWN[gold_name], _KNOWN[answer_name]
    if gold_kind != answer_kind:
        return None
    return (answer_size / gold_size) ** int(gold_power or 1)


def prices_in_words(gold: str, answer: str) -> tuple[str, str]:
    """`$5` as `5 dollars` where the other side names a currency as well, so that `$5` is not `5 cents`.

    Both texts as extracted; they come back as they are where the sign adds nothing.
    """
    prices = [_PRICE.fullmatch(text) for text in (gold, answer)]
    if not any(prices):
        return gold, answer
    left, right = (_currency(text, price) for text, price in zip((gold, answer), prices, strict=True))
    if not left or not right or left == right:
        return gold, answer
    return _in_words(gold, prices[0]), _in_words(answer, prices[1])


def _currency(text: str, price: re.Match[str] | None) -> str:
    if price:
        return canonical(_SIGNS[price["sign"]])
    unit = split_unit(text.strip().rstrip("."))[1]
    return unit if unit in _CURRENCIES else ""


def _in_words(text: str, price: re.Match[str] | None) -> str:
    return f"{price['minus']}{price['number']} {_SIGNS[price['sign']]}s" if price else text
