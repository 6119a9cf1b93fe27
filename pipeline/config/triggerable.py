"""The fields that people who may start runs, but not edit configs, can set: those marked `triggerable`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import TypeAdapter

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.section import Section, has_mark
from pipeline.errors import ConfigError

_VALUES = {
    "integer": r"[0-9]+",
    "number": r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?",
    "boolean": "true|false",
    "null": "null",
}
"""What a value of a JSON type may look like. No triggerable field is text, or may be negative."""


@dataclass(frozen=True, slots=True)
class Triggerable:
    """A field: its dotted key, its JSON schema (type, bounds, enum), its documentation and its default."""

    key: str
    schema: Mapping[str, Any]
    documentation: str
    default: Any

    @property
    def types(self) -> tuple[str, ...]:
        """JSON types of its values, without null."""
        kinds = self.schema.get("anyOf", (self.schema,))
        return tuple(kind["type"] for kind in kinds if kind["type"] != "null")

    @property
    def bounds(self) -> dict[str, Any]:
        """The part of the schema that limits a number or names the values."""
        kinds = self.schema.get("anyOf", (self.schema,))
        names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")
        return {name: kind[name] for kind in kinds for name in names if name in kind}

    @property
    def pattern(self) -> str:
        """A regular expression of `key=value`."""
        if "enum" in self.schema:
            values = "|".join(re.escape(value) for value in self.schema["enum"])
        else:
            kinds = self.schema.get("anyOf", (self.schema,))
            values = "|".join(_VALUES[kind["type"]] for kind in kinds)
        return f"{re.escape(self.key)}=({values})"


@functools.cache
def triggerable_fields() -> dict[str, Triggerable]:
    """By dotted key, in the order of the config."""
    return {field.key: field for field in _fields(ExperimentConfig, "")}


def _fields(section: type[Section], prefix: str) -> Iterator[Triggerable]:
    for name, field in section.model_fields.items():
        if has_mark(section, name, "triggerable"):
            documentation = (field.description or "").replace("\n", " ")
            # Of this field alone: the schema of the whole config takes a second.
            kind: Any = Annotated[field.annotation, name, *field.metadata]
            schema = TypeAdapter(kind).json_schema()
            yield Triggerable(f"{prefix}{name}", schema, documentation, field.default)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _fields(field.annotation, f"{prefix}{name}.")


def assignments_pattern(without: Sequence[str] = ()) -> str:
    """A regular expression of one `key=value` with a triggerable key that is not in `without`."""
    fields = [field for key, field in triggerable_fields().items() if key not in without]
    return f"^({'|'.join(field.pattern for field in fields)})$"


def check_assignments(assignments: Sequence[str]) -> None:
    """ConfigError unless each is `key=value` with a triggerable key and a value of its type."""
    pattern = re.compile(assignments_pattern())
    for assignment in assignments:
        if not pattern.fullmatch(assignment):
            raise ConfigError(
                f"{assignment!r} cannot be set from the trigger form; expected key=value with one of "
                f"{', '.join(triggerable_fields())}; anything else is changed in the config itself"
            )
