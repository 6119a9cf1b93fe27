"""A config as YAML with the origin of each value, and the documentation of all fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from pipeline.config import ExperimentConfig, LoadedConfig
from pipeline.config.section import has_mark
from pipeline.config.site import LoadedSite

_COMMENT_COLUMN = 56


class _Dumper(yaml.SafeDumper):
    """Strings with line breaks are written with escapes, on one line."""


def _write_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _write_string)


def resolved_yaml(loaded: LoadedConfig | LoadedSite, title: str, default: str = "default") -> str:
    """The config as YAML; a comment behind each value says where it came from (`default` where nowhere)."""
    lines = [f"# {title}: {loaded.path}"]
    lines += _section(loaded.config.model_dump(mode="json"), loaded, default, prefix="", indent="")
    return "\n".join(lines)


def origin_of_leaves(loaded: LoadedConfig | LoadedSite, default: str = "default") -> dict[str, str]:
    """Dotted key of every value -> where it came from."""
    return {
        key: _origin(key, loaded, default)
        for key, _ in _leaves(loaded.config.model_dump(mode="json"), prefix="")
    }


def _leaves(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _origin(key: str, loaded: LoadedConfig | LoadedSite, default: str) -> str:
    """The origin of the value itself or of the section it came in."""
    origins = loaded.origins
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in origins:
            return origins[name]
    if key == "problems.data_dir" and default == "default":
        return "the folder of the config"
    return default


def _section(
    data: Mapping[str, Any], loaded: LoadedConfig | LoadedSite, default: str, prefix: str, indent: str
) -> Iterator[str]:
    for name, value in data.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_scalar(name)}:"
            yield from _section(value, loaded, default, f"{key}.", indent + "  ")
            continue
        origin = f"# {_origin(key, loaded, default)}"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield _with_comment(f"{indent}{_scalar(name)}:", origin)
            block = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
            yield from (f"{indent}{line}" for line in block.rstrip().split("\n"))
        else:
            yield _with_comment(f"{indent}{_scalar(name)}: {_scalar(value)}", origin)


def _with_comment(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT_COLUMN)} {comment}"


def _scalar(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=1 << 30)
    return text.strip()[1:-1]


def schema_text(kind: type[BaseModel] = ExperimentConfig) -> str:
    """Every field: its key, type, default, bounds, marks, and its documentation."""
    lines = [f"# Every field of {'a config' if kind is ExperimentConfig else 'the site settings'}."]
    if kind is ExperimentConfig:
        lines += [
            "# (execution): how the work is done; outside the digests, may change between runs.",
            "# (triggerable): may be set from Airflow's trigger form.",
        ]
    lines += ["", *_fields(kind, "", _homes(kind), set())]
    return "\n".join(lines)


def _homes(kind: type[BaseModel]) -> dict[type[BaseModel], str]:
    """Where each section is documented in full: at the shortest of its keys."""
    homes: dict[type[BaseModel], str] = {}
    level = [(kind, "")]
    while level:
        below = [
            (variant, _inner(f"{prefix}{name}", field))
            for section, prefix in level
            for name, field in section.model_fields.items()
            for variant in _sections_in(field.annotation)
        ]
        level = [(variant, inner) for variant, inner in below if variant not in homes]
        for variant, inner in level:
            homes.setdefault(variant, inner)
    return homes


def _inner(key: str, field: FieldInfo) -> str:
    """What stands before the fields of a section at `key`."""
    if get_origin(field.annotation) is tuple or _is_optional_tuple(field.annotation):
        return f"{key}[]."
    return f"{key}.NAME." if get_origin(field.annotation) is dict else f"{key}."


def _fields(
    section: type[BaseModel], prefix: str, homes: Mapping[type[BaseModel], str], told: set[type[BaseModel]]
) -> Iterator[str]:
    """The fields of a section and of those inside; `told` are the sections that stand in full already."""
    for name, field in section.model_fields.items():
        key = f"{prefix}{name}"
        yield f"{key}: {_head(section, name, field)}"
        if field.description:
            yield from (f"    {line.strip()}" for line in field.description.strip().splitlines())
        yield from _variants(list(_sections_in(field.annotation)), _inner(key, field), homes, told)
        if not prefix:
            yield ""


def _variants(
    variants: Sequence[type[BaseModel]],
    inner: str,
    homes: Mapping[type[BaseModel], str],
    told: set[type[BaseModel]],
) -> Iterator[str]:
    """The sections that may stand at one key: in full where they are at home, else one line says where."""
    where = {homes[variant] for variant in variants}
    if len(where) == 1 and (where != {inner} or told.issuperset(variants)):
        kinds = [_kind_of(variant) for variant in variants]
        others = "".join(f" | {kind.partition(': ')[2]}" for kind in kinds[1:])
        place = "above" if where == {inner} else f"{where.pop()}*"
        yield ""
        yield f"# {inner}*{f', {kinds[0]}{others}' if kinds[0] else ''}: as {place}"
        return
    for variant in variants:
        told.add(variant)
        kind = _kind_of(variant)
        yield ""
        yield f"# {inner}*{f', {kind}' if kind else ''}: {_first_line(variant)}"
        yield from _fields(variant, inner, homes, told)


def _head(section: type[BaseModel], name: str, field: FieldInfo) -> str:
    parts = [_type_name(field.annotation)]
    parts += [_bound(item) for item in field.metadata if _bound(item)]
    if field.is_required():
        parts.append("required")
    elif field.default is not PydanticUndefined and not isinstance(field.default, BaseModel):
        parts.append(f"default {_scalar(to_jsonable_python(field.default))}")
    parts += [f"({mark})" for mark in ("execution", "triggerable") if has_mark(section, name, mark)]
    return ", ".join(part for part in parts if part)


def _bound(item: Any) -> str:
    """`>= 1`, `pattern ^...$`: the constraints pydantic keeps beside a type."""
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if getattr(item, name, None) is not None:
            return f"{sign} {getattr(item, name)}"
    pattern = getattr(item, "pattern", None)
    return f"pattern {pattern}" if pattern else ""


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is typing.Literal:
        return " | ".join(str(getattr(value, "value", value)) for value in arguments)
    if origin in (types.UnionType, typing.Union):
        names = [_type_name(part) for part in arguments]
        return " | ".join(dict.fromkeys(names))
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {"str": "text", "bool": "true | false"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        if not isinstance(part, (str, int, float)):
            yield from _sections_in(part)


def _is_optional_tuple(annotation: Any) -> bool:
    return any(get_origin(part) is tuple for part in get_args(annotation))


def _kind_of(section: type[BaseModel]) -> str:
    """`kind: jsonl` where a field of one literal tells a section from its alternatives."""
    for name in ("kind", "type"):
        field = section.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is typing.Literal:
            values = get_args(field.annotation)
            if len(values) == 1:
                return f"{name}: {values[0]}"
    return ""


def _first_line(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().split("\n")[0]
