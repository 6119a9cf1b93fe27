"""The base class of all config sections, and the marks a field can carry."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen, strict about unknown keys; the docstring under a field is its documentation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


def option(
    default: Any = ...,
    *,
    execution: bool = False,
    triggerable: bool = False,
    later: bool = False,
    **constraints: Any,
) -> Any:
    """A pydantic field with this project's marks.

    `execution`: how the work is done, not what comes out (device, batch size, paths): outside the digests.
    `triggerable`: may be set from the trigger form, that is by people who may start runs but not edit
    configs. `later`: joined after digests were recorded, so it is outside them while it is None, and what was
    done before stays done.
    """
    marks: dict[str, Any] = {"execution": execution, "triggerable": triggerable, "later": later}
    if "default_factory" in constraints:
        return Field(json_schema_extra=marks, **constraints)
    return Field(default, json_schema_extra=marks, **constraints)


def has_mark(section: type[BaseModel], name: str, mark: str) -> bool:
    """Whether field `name` of a section carries a mark of `option`."""
    extra = section.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(mark))
