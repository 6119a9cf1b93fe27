"""Templates, and how a text that a model wrote is shown: escaped, and the unseen made visible."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """The text with control characters as pictures (`␛`) and turns of direction as `⟦U+202E⟧`."""
    return _UNSEEN.sub(_picture, text)


def marked(text: str, part: str | None) -> Markup:
    """The text, escaped, with the last occurrence of `part` in <mark>: a hint stands in the last question."""
    at = text.rfind(part) if part else -1
    if at < 0 or not part:
        return escape(visible(text))
    before, behind = text[:at], text[at + len(part) :]
    return Markup("{}<mark>{}</mark>{}").format(visible(before), visible(part), visible(behind))


def found(text: str, wanted: str, around: int = 160) -> Markup:
    """A piece of the text around the first place where `wanted` stands, that place in <mark>."""
    at = text.lower().find(wanted.lower())
    if at < 0:
        return escape(visible(shortened(text, 2 * around)))
    start, end = max(0, at - around), at + len(wanted) + around
    return Markup("{}{}<mark>{}</mark>{}{}").format(
        "…" if start else "",
        visible(text[start:at]),
        visible(text[at : at + len(wanted)]),
        visible(text[at + len(wanted) : end]),
        "…" if end < len(text) else "",
    )


def shortened(text: str, most: int = 280) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


@cache
def environment() -> Environment:
    """The templates; whatever an expression gives is made visible, then escaped."""
    made = Environment(
        loader=PackageLoader("pipeline.ui", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "words": lambda name: str(name).replace("_", " "),
        "percent": lambda value: "–" if value is None else f"{value:.1%}",
        "count": lambda value: "–" if value is None else f"{value:,}",
        "decimal": lambda value: "–" if value is None else f"{value:,.1f}",
        "when": lambda value: "–" if value is None else f"{value:%Y-%m-%d %H:%M}",
        "shortened": shortened,
        "marked": marked,
        "found": found,
    }
    return made


def _finalize(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟦U+{code:04X}⟧"
