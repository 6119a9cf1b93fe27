"""The filter of the attempts as it stands in an address: what is chosen can be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from pipeline.errors import ConfigError

_WORDS = ("origin", "split", "outcome", "reason", "grader", "fate", "problem", "text")
_NUMBERS = ("round", "min_tokens", "max_tokens")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Filter:
    """What attempts are shown; None: all. `grader`: its verdict is what `outcome` and `reason` speak of.

    `fate` is `kept`, a reason why not, or `pending`; `problem` how an id begins; `text` what it says.
    """

    round: int | None = None
    origin: str | None = None
    split: str | None = None
    outcome: str | None = None
    reason: str | None = None
    grader: str | None = None
    fate: str | None = None
    problem: str | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    flagged: bool = False
    text: str | None = None

    def parameters(self, *without: str) -> dict[str, Any]:
        """As the queries take them."""
        names = ("round", *_WORDS, "min_tokens", "max_tokens", "flagged")
        return {name: getattr(self, name) for name in names if name not in without}

    @property
    def judged(self) -> bool:
        """Whether verdicts, fates or flags have to be looked at."""
        return self.flagged or any((self.outcome, self.reason, self.grader, self.fate))

    def address(self, **changes: Any) -> str:
        """The query part of an address, without what is not set; `changes` may add a page or a place."""
        own = {name: changes.pop(name) for name in list(changes) if name in self.__dataclass_fields__}
        values = {**replace(self, **own).parameters(), **changes}
        values["flagged"] = "yes" if values["flagged"] else None
        return urlencode({name: value for name, value in values.items() if value is not None})


def read_filter(query: Mapping[str, str]) -> Filter:
    """The filter in an address. ConfigError for a bad value; unknown names are passed over."""
    values: dict[str, Any] = {name: word(query, name) for name in _WORDS}
    values |= {name: number(query, name) for name in _NUMBERS}
    return Filter(**values, flagged=bool(query.get("flagged")))


def word(query: Mapping[str, str], name: str) -> str | None:
    """A word of an address, None where it is empty."""
    value = query.get(name, "").strip()
    if len(value) > _LONGEST:
        raise ConfigError(f"{name} has {len(value)} characters: expected at most {_LONGEST}")
    return value or None


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number from 0 of an address, None where it is empty."""
    value = query.get(name, "").strip()
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise ConfigError(f"{name} is {value[:40]!r}: expected a whole number from 0")
    return int(value)
