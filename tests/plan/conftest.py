"""Pilots of the scripted experiment: what it writes is known, everything else is real."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.paths import Home
from pipeline.plan import Measured, Pilot, measure, run_pilot
from pipeline.progress import LogProgress
from tests.experiments import write_config

PROBLEMS = 4


@dataclass(frozen=True)
class Tried:
    """A finished pilot of PROBLEMS problems, what it measured, and the config it is of."""

    pilot: Pilot
    measured: Measured
    config: Path
    home: Home


def try_out(folder: Path, *settings: str) -> Tried:
    config, home = write_config(folder / "project"), Home(folder / "home")
    return pilot_of(config, home, *settings)


def pilot_of(config: Path, home: Home, *settings: str) -> Tried:
    pilot = run_pilot(load_config(config, settings), home, PROBLEMS, LogProgress())
    return Tried(pilot, measure(pilot), config, home)


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """The experiment of tests/experiments.py, tried out once."""
    return try_out(tmp_path_factory.mktemp("tried"))


@pytest.fixture
def saying(tmp_path: Path) -> Callable[..., Tried]:
    """A pilot in which every train problem gets this text, with further settings."""

    def say(text: str, *settings: str, finish: str = "eos") -> Tried:
        config = write_config(tmp_path / "project")
        rows: list[dict[str, Any]] = [
            {"problem_id": f"p{index}", "texts": [text], "finish_reason": finish} for index in range(6)
        ]
        (config.parent / "script.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return pilot_of(config, Home(tmp_path / "home"), *settings)

    return say
