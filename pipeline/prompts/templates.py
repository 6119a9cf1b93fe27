"""Templates with a few named placeholders, filled in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pipeline.errors import ConfigError

# `{{name}}` first, so that it is read as an escaped `{name}`. Other braces (LaTeX, sets) are plain text.
_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")


class Template:
    """A text in which `{name}` stands for a value. `{{name}}` writes a literal `{name}`.

    Values are put in by one pass of a regular expression, never by `str.format`: braces and placeholders
    inside a value stay as they are.
    """

    def __init__(self, text: str, where: str, allowed: frozenset[str]) -> None:
        """`where` is the config key, for errors. ConfigError if the text uses a placeholder not allowed."""
        self.text = text
        self.where = where
        self.names = frozenset(match[2] for match in _PLACEHOLDER.finditer(text) if match[2])
        unknown = sorted(self.names - allowed)
        if unknown:
            name = unknown[0]
            expected = ", ".join(f"{{{known}}}" for known in sorted(allowed))
            raise ConfigError(
                f"{where}: unknown placeholder {{{name}}} in {text!r}; expected {expected}; "
                f"write {{{{{name}}}}} for a literal {{{name}}}"
            )

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every placeholder replaced by its value."""

        def replacement(match: re.Match[str]) -> str:
            return values[match[2]] if match[2] else f"{{{match[1]}}}"

        return _PLACEHOLDER.sub(replacement, self.text)


class Surroundings(NamedTuple):
    """What stands right before and after a placeholder and belongs to it."""

    before: str
    after: str


def surroundings(template: Template, name: str, without: Template) -> Surroundings:
    """The literal text around `{name}` that `template` has and `without` has not.

    `Q: {question} ({hint})` against `Q: {question}` gives ` (` and `)`: what tells the reader that a hint is
    there. Where the two differ elsewhere as well, the text up to the next placeholder or line break is taken.
    """
    placeholder = f"{{{name}}}"
    ahead, _, behind = template.text.partition(placeholder)
    plain = without.text
    shared = _common(ahead, plain)
    rest = plain[shared:]
    if behind.endswith(rest):
        before, after = ahead[shared:], behind[: len(behind) - len(rest)]
        if not _PLACEHOLDER.search(before) and not _PLACEHOLDER.search(after):
            return Surroundings(before.lstrip("\n"), after.rstrip("\n"))
    before = re.split(r"\n|\{[a-z_]+\}", ahead)[-1]
    after = re.split(r"\n|\{[a-z_]+\}", behind)[0]
    return Surroundings(before, after)


def _common(first: str, second: str) -> int:
    """Length of the common start of two texts."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
