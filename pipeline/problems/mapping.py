"""From a source row to a problem, by the paths and patterns of a field map."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.problems import FieldMap
from pipeline.errors import ConfigError
from pipeline.identity import canonical_json, text_hash
from pipeline.problems.bad_rows import BadRowError, shorten
from pipeline.problems.choices import read_choices, right_key
from pipeline.records import Problem, Split

_ABSENT = object()


class FieldPath:
    """A dotted path into a row, optionally with ` ~ ` and a pattern whose first group (or match) is taken."""

    def __init__(self, name: str, spec: str) -> None:
        path, tilde, pattern = spec.partition(" ~ ")
        self.name = name
        self.path = path.strip()
        self.pattern = re.compile(pattern.strip()) if tilde else None

    @property
    def top(self) -> str:
        """The field of the row that the path starts from."""
        return self.path.split(".", 1)[0]

    def find(self, row: Mapping[str, Any]) -> Any:
        """The value at the path, `_ABSENT` where it leads nowhere. A field whose name has dots is found
        too."""
        if self.path in row:
            return row[self.path]
        value: Any = row
        for part in self.path.split("."):
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal():
                if int(part) >= len(value):
                    return _ABSENT
                value = value[int(part)]
            else:
                return _ABSENT
        return value

    def needed(self, row: Mapping[str, Any]) -> Any:
        """As `find`, but a path that leads nowhere is a BadRowError."""
        value = self.find(row)
        if value is _ABSENT:
            raise BadRowError(
                "missing_field",
                f"no field {self.path!r} for {self.name} (the row has: "
                f"{', '.join(map(str, row)) or 'nothing'}); correct "
                f"fields.{self.name} of the source if all rows are like this",
            )
        return value

    def matched(self, text: str) -> str | None:
        """What the pattern takes of `text` (all of it without pattern); None where it is not found."""
        if self.pattern is None:
            return text
        match = self.pattern.search(text)
        if match is None:
            return None
        return match[1] if self.pattern.groups else match[0]


class RowMapper:
    """Makes problems of the rows of one source."""

    def __init__(self, fields: FieldMap, split: Split, source: str, key: str) -> None:
        """`source` is the name that problems carry, `key` where the config has it (`problems.sources.x`)."""
        named = {name: getattr(fields, name) for name in FieldMap.model_fields if name != "solution_strip"}
        self._paths = {name: FieldPath(name, spec) for name, spec in named.items() if spec is not None}
        self._strip = re.compile(fields.solution_strip) if fields.solution_strip else None
        self._split = split
        self.source, self._key = source, key
        self._never_found = {name for name in ("difficulty", "solution") if name in self._paths}

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """The problem a row describes. BadRowError says why it describes none."""
        question = self._question(row)
        choices, answer = self._answer(row)
        solution = self._optional("solution", row)
        if solution is not None and self._strip is not None:
            solution = self._strip.sub("", solution)
        return Problem(
            problem_id=self._problem_id(row, question, choices, answer),
            split=self._split,
            question=question,
            answer=answer,
            choices=choices,
            difficulty=self._optional("difficulty", row),
            source=self.source,
            solution=solution,
            meta=self._meta(row),
        )

    def check_found(self, rows: int) -> None:
        """ConfigError if a mapped optional field was in none of `rows` rows: the path is most likely
        mistyped."""
        if rows and self._never_found:
            name = sorted(self._never_found)[0]
            raise ConfigError(
                f"{self._key}.fields.{name} is {self._paths[name].path!r}, which is "
                f"found in none of the source's {rows} rows; correct the path or its pattern, or remove it"
            )

    def _question(self, row: Mapping[str, Any]) -> str:
        path = self._paths["question"]
        value = path.needed(row)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise BadRowError("empty_question", f"question {path.path!r} is {value!r}; expected text")
        if not isinstance(value, str):
            raise BadRowError("wrong_type", f"question {path.path!r} is {shorten(value)}; expected text")
        question = (path.matched(_utf8("question", value)) or "").strip()
        if not question:
            raise BadRowError(
                "empty_question",
                f"question {shorten(value)} has no match for {_pattern(path)}, or an empty one",
            )
        return question

    def _answer(self, row: Mapping[str, Any]) -> tuple[dict[str, str], str]:
        """Choices (empty where there are none) and the gold answer."""
        path = self._paths["answer"]
        value = path.needed(row)
        if value is None or (isinstance(value, str) and not value.strip()):
            expected = "expected text or a number"
            raise BadRowError("missing_answer", f"answer {path.path!r} is {value!r}; {expected}")
        if path.pattern is not None:
            taken = path.matched(_text("answer", value))
            if taken is None or not taken.strip():
                detail = f"answer {shorten(value)} has no match for {_pattern(path)}, or an empty one"
                raise BadRowError("missing_answer", detail)
            value = taken
        if "choices" not in self._paths:
            return {}, _text("answer", value)
        given = self._paths["choices"].needed(row)
        choices = {_utf8("choices", key): _utf8("choices", text) for key, text in read_choices(given).items()}
        listed = isinstance(given, list) and all(isinstance(item, str) for item in given)
        return choices, right_key(value, choices, listed)

    def _optional(self, name: str, row: Mapping[str, Any]) -> str | None:
        path = self._paths.get(name)
        value = path.find(row) if path is not None else _ABSENT
        if path is None or value is _ABSENT or value is None:
            return None
        taken = path.matched(_text(name, value))
        if taken is None:
            return None
        self._never_found.discard(name)
        return taken.strip() or None

    def _problem_id(
        self, row: Mapping[str, Any], question: str, choices: Mapping[str, str], answer: str
    ) -> str:
        path = self._paths.get("problem_id")
        if path is None:
            return text_hash(canonical_json([question, choices, answer]))
        value = path.needed(row)
        taken = path.matched(_text("problem_id", value)) if value is not None else None
        if taken is None or not taken.strip():
            raise BadRowError(
                "missing_id", f"problem_id {path.path!r} is {shorten(value)}; expected text or a number"
            )
        return taken.strip()

    def _meta(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the row that no path starts from, as far as JSON can hold them."""
        used = {path.top for path in self._paths.values()} | {path.path for path in self._paths.values()}
        kept: dict[str, Any] = {}
        for name, value in row.items():
            if name not in used and not isinstance(value, (bytes, bytearray)):
                try:
                    encoded = json.dumps(value, allow_nan=False, default=str, ensure_ascii=False)
                    encoded.encode("utf-8")
                except (TypeError, ValueError):  # keys that are no text, NaN, half a surrogate pair
                    continue
                kept[name] = json.loads(encoded)
        return kept


def _text(name: str, value: Any) -> str:
    """`value` as text: text itself, a finite number, a truth value as in JSON. BadRowError otherwise."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _utf8(name, value).strip()
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise BadRowError("wrong_type", f"{name} is {shorten(value)}; expected text or a finite number")


def _utf8(name: str, text: str) -> str:
    """The text itself; BadRowError for lone surrogates, which no file or database can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRowError(
            "not_unicode", f"{name} {shorten(text)} holds half a surrogate pair; expected valid text"
        ) from None
    return text


def _pattern(path: FieldPath) -> str:
    return repr(path.pattern.pattern) if path.pattern is not None else "any text"
