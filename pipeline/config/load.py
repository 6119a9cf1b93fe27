"""Read a config: YAML, then `key=value` overrides, then validation, remembering where values came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.section import has_mark
from pipeline.errors import ConfigError
from pipeline.paths import package_data, validate_experiment

SITE_FILE = "site.yaml"
"""Stands among the configs and is none: the settings of the site (`pipeline/config/site.py`)."""

AnySection = TypeVar("AnySection", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A validated config, its experiment name, and the origin of every value that is not a default."""

    config: ExperimentConfig
    experiment: str
    path: Path
    origins: Mapping[str, str]


def load_config(path: Path, overrides: Sequence[str] = (), *, experiment: str | None = None) -> LoadedConfig:
    """Load and validate `path`; `overrides` are `dotted.key=value` with YAML values, the last one wins.

    A bare name such as `gsm8k` means the shipped config of that name. Raises ConfigError, naming the key,
    its value and what was expected.
    """
    file = _find(path)
    data = read_yaml(file)
    origins = {key: str(path) for key in leaves(data)}
    for override in overrides:
        key, value = _split_override(override)
        _set(data, key, value)
        origins = {known: origin for known, origin in origins.items() if not known.startswith(f"{key}.")}
        origins[key] = "--set"
    config = validate(data, source=str(path))
    if config.problems.data_dir is None:
        config = _with_data_dir(config, file.parent)
    else:
        config = _with_data_dir(config, Path(config.problems.data_dir).expanduser())
    name = experiment or config.experiment or file.stem.replace("_", "-")
    return LoadedConfig(config, validate_experiment(name), file, origins)


def with_overrides(config: ExperimentConfig, overrides: Sequence[str], source: str) -> ExperimentConfig:
    """`config` with `dotted.key=value` changes, validated again; ConfigError as `load_config`."""
    data = config.model_dump(mode="json")
    for override in overrides:
        _set(data, *_split_override(override))
    return validate(data, source=source) if overrides else config


def validate(data: Mapping[str, Any], source: str) -> ExperimentConfig:
    """The config described by `data`, or ConfigError with a line for each thing wrong."""
    return validate_as(ExperimentConfig, data, source, schema="star config --schema")


def validate_as(kind: type[AnySection], data: Mapping[str, Any], source: str, *, schema: str) -> AnySection:
    """`data` as a section of that kind, or ConfigError; `schema` is the command that documents the fields."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        lines = [_explain(dict(item), kind) for item in error.errors()]
        raise ConfigError(
            f"{source} is not a valid config:\n"
            + "\n".join(f"  {line}" for line in lines)
            + f"\nsee `{schema}` for every field with its documentation"
        ) from None


def stage_config(config: BaseModel, keys: Iterable[str]) -> dict[str, Any]:
    """The named parts (`generate`, `prompts.chat`) of a config that decide what comes out.

    Execution settings (device, batch size, paths, ...) are left out, so that a digest of the result does not
    change with the machine.
    """
    parts: dict[str, Any] = {}
    for key in keys:
        *sections, name = key.split(".")
        section = config
        for each in sections:
            section = getattr(section, each)
        if not _unset_since_later(section, name):
            parts[key] = deciding_content(getattr(section, name))
    return parts


def deciding_content(value: Any) -> Any:
    """What of a section decides what comes out, as plain values: all but its execution settings."""
    if isinstance(value, BaseModel):
        kind = type(value)
        return {
            name: deciding_content(getattr(value, name))
            for name in kind.model_fields
            if not has_mark(kind, name, "execution") and not _unset_since_later(value, name)
        }
    if isinstance(value, Mapping):
        return {str(name): deciding_content(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [deciding_content(item) for item in value]
    return value


def _unset_since_later(section: BaseModel, name: str) -> bool:
    """Whether a field joined after digests were recorded, and is not used: they must not change by it."""
    return has_mark(type(section), name, "later") and getattr(section, name) is None


def _find(path: Path) -> Path:
    if path.is_file():
        return path.resolve()
    shipped = configs_in(package_data("configs"))
    name = path.name.removesuffix(".yaml")
    if path.parent in (Path("."), Path("configs")) and name in shipped:
        return shipped[name]
    raise ConfigError(
        f"config {str(path)!r} not found; expected a YAML file or the name of a shipped config "
        f"({', '.join(shipped)})"
    )


def configs_in(*folders: Path) -> dict[str, Path]:
    """Name -> file of the experiment configs in these folders, sorted; of one name the first folder's."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            if file.name != SITE_FILE:
                found.setdefault(file.stem, file)
    return found


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError where it holds something else."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{file} holds {type(data).__name__}; expected a mapping with model, problems, verify, ..."
        )
    return data


def _split_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"override {override!r} is not of the form key=value, for example generate.samples=4"
        )
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not valid YAML: {error}") from None


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = data.get(parent)
        if not isinstance(inner, dict):
            inner = {}
            data[parent] = inner
        data = inner
    data[last] = value


def leaves(data: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """The dotted key of every value."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _with_data_dir(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    problems = config.problems.model_copy(update={"data_dir": str(folder.resolve())})
    return config.model_copy(update={"problems": problems})


def _explain(error: dict[str, Any], kind: type[BaseModel]) -> str:
    location = [str(part) for part in error["loc"]]
    written, beside = _as_written(location, kind)
    key = ".".join(written)
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], beside, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key{hint}"
    if error["type"] == "missing":
        return f"{key}: required, but missing"
    given = error.get("input")
    if error["type"] == "union_tag_invalid":
        return _explain_kind(key, error)
    if error["type"] == "value_error" and isinstance(given, Mapping):
        return f"{key}: {error['ctx']['error']}"  # a rule over several fields names their values itself
    message = _PLAIN_WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":  # members of an enum come as <Split.DEV: 'dev'>
        message = "expected " + re.sub(r"<[\w.]+: ('[^']*')>", r"\1", error["ctx"]["expected"])
    return f"{key}: {message} (value {_shown(key, given)})"


def _shown(key: str, given: Any) -> str:
    """A wrong value, shortened; left out where it may hold a secret: a URL in place of a section, say."""
    shown = repr(given)
    if key.endswith(("endpoint", "url", "key_env")) or "@" in shown.partition("//")[2] or "password" in shown:
        return "not shown: it may hold a secret"
    return shown if len(shown) <= 80 else shown[:77] + "..."


_SECTION = "a section with fields of its own, not a value; `star config --schema` names them"
_PLAIN_WORDS = {
    "tuple_type": "expected a list, such as [a, b]",
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
}
"""Where pydantic's message speaks of Python instead of YAML."""


def _explain_kind(key: str, error: Mapping[str, Any]) -> str:
    """A section whose `kind` or `type` is none of those there are."""
    context = error["ctx"]
    field, given = context["discriminator"].strip("'"), context["tag"]
    known = [name.strip(" '") for name in context["expected_tags"].split(",")]
    close = difflib.get_close_matches(given, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key}.{field}: expected one of {', '.join(known)}{hint} (value {given!r})"


def _as_written(location: Sequence[str], kind: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The keys of a pydantic error location as the config has them, and the known keys beside the last one.

    Where a section is one of several kinds, pydantic puts the kind into the location
    (`verify.grader.math.x`).
    """
    written: list[str] = []
    sections: list[type[BaseModel]] = [kind]
    entry = False  # whether the next name is a key or an index, and so no field
    for name in location[:-1]:
        of_kind = [section for section in sections if len(sections) > 1 and name in _kinds(section)]
        if of_kind and not entry:
            sections = of_kind
            continue
        written.append(name)
        types = [
            section.model_fields[name].annotation for section in sections if name in section.model_fields
        ]
        if types and not entry:
            sections = [section for annotation in types for section in _sections_in(annotation)]
            entry = any(_has_entries(annotation) for annotation in types)
        else:
            entry = False
    known = {name for section in sections for name in section.model_fields}
    return [*written, location[-1]], sorted(known)


def _kinds(section: type[BaseModel]) -> tuple[str, ...]:
    """What tells a section from the others of its union: the value of its `kind` or `type`."""
    fields = [section.model_fields[name] for name in ("kind", "type") if name in section.model_fields]
    return tuple(str(value) for field in fields for value in get_args(field.annotation))


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's type mentions, inside of unions, lists and mappings too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _has_entries(annotation: Any) -> bool:
    """Whether a field's type is a mapping or a sequence (or may be one)."""
    if get_origin(annotation) in (dict, list, tuple):
        return True
    return any(get_origin(part) in (dict, list, tuple) for part in get_args(annotation))
