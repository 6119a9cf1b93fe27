"""The cards (`README.md`) of exports: what it is, counts, provenance, the config without local paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml

from pipeline import __version__
from pipeline.config import ExperimentConfig
from pipeline.errors import ConfigError

PAPER = "[STaR: Bootstrapping Reasoning With Reasoning](https://arxiv.org/abs/2203.14465)"


def card(
    front: Mapping[str, Any],
    title: str,
    paragraphs: Sequence[str],
    counts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    config: ExperimentConfig,
    *,
    licence: str | None = None,
) -> str:
    """A card: YAML front matter, what it is, a table of counts, where it comes from, the config.

    `licence` is what the hub calls it (`valid_licence`); None: the card names none.
    """
    header = {**({} if licence is None else {"license": licence}), **front}
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {title}",
        *paragraphs,
        "## Counts",
        _table(("what", "number"), counts),
        "## Provenance",
        _table(("what", "value"), {**provenance, "made by": f"star {__version__}"}),
        "## Config",
        f"```yaml\n{_yaml(config)}```",
        f"Method: {PAPER}. The license of the problems is that of their source.",
    ]
    return "\n\n".join(parts) + "\n"


def valid_licence(licence: str | None) -> str | None:
    """`licence` itself where it can be an identifier of the hub, else ConfigError."""
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence):
        raise ConfigError(
            f"licence {licence!r}: expected an identifier of the hub, such as apache-2.0, mit, cc-by-4.0 or "
            "other (https://huggingface.co/docs/hub/repositories-licenses)"
        )
    return licence


def _yaml(config: ExperimentConfig) -> str:
    return yaml.safe_dump(public_config(config.model_dump(mode="json")), sort_keys=False, allow_unicode=True)


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without paths of this machine: `data_dir` is left out, absolute paths keep their last part.

    Secrets are not in a config: it names the environment variables that hold them.
    """
    return {name: _public(value) for name, value in config.items() if name != "data_dir"}


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return public_config(value)
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    if isinstance(value, str) and value.startswith(("/", "~")) and "\n" not in value:
        return PurePath(value).name or value
    return value


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
