"""A config with given problems, and files to read them from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ExperimentConfig
from pipeline.config.load import validate

MakeConfig = Callable[..., ExperimentConfig]
WriteRows = Callable[..., Path]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """`make_config(sources, prompts={...}, seed=1, **problems)`: a valid config whose data lies in
    tmp_path."""

    def make(
        sources: dict[str, Any], *, prompts: dict[str, Any] | None = None, seed: int = 0, **problems: Any
    ) -> ExperimentConfig:
        data = {
            "seed": seed,
            "model": {"base": "unused"},
            "verify": {"grader": {"type": "math"}},
            "prompts": prompts or {},
            "problems": {"data_dir": str(tmp_path), "sources": sources, **problems},
        }
        return validate(data, source="test config")

    return make


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """`write_rows(name, rows)` writes JSON Lines into tmp_path; a row that is text is written as it is."""

    def write(name: str, rows: Iterable[Any]) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        file = tmp_path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return file

    return write
