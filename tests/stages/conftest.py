"""A small experiment on real parts: store, prompts, graders, trainer. Only the texts are given, by a script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.config.tiny_base import TextBase
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.runner import Session, open_session, run_experiment
from pipeline.store import Store
from pipeline.tiny_base import ensure_tiny_base

CONFIG = """
rounds: 1
problems:
  sources:
    train: {kind: jsonl, path: train.jsonl, fields: {problem_id: id}}
    dev: {kind: jsonl, path: dev.jsonl, split: dev, fields: {problem_id: id}}
prompts: {answer_line: "####.*"}
engine: {kind: scripted, flush_every: 4}
generate: {samples: 2, temperature: 1.0, max_tokens: 64}
verify: {grader: {type: numeric, extract: [hash4]}}
rationalize: {temperature: 1.0}
train: {epochs: 1, learning_rate: 1.0e-3}
"""


class Lab:
    """Writes the inputs of an experiment, runs it, and asks its tables.

    Train problem `p3` is "What is 3 + 3?" with answer 6; dev problem `d3` asks for 3 + 4.
    """

    def __init__(self, folder: Path, base: Path, train: int, dev: int) -> None:
        self.folder, self.base = folder, base
        self.home = Home(folder / "home")
        self._write("train.jsonl", [_problem("p", index, index) for index in range(train)])
        self._write("dev.jsonl", [_problem("d", index, index + 1) for index in range(dev)])
        self.scripts: dict[tuple[str, str | None], dict[str, Any]] = {}
        for index in range(dev):
            self.says(f"d{index}", [right(2 * index + 1)])

    def says(
        self, problem: str, texts: Sequence[str], origin: str | None = None, finish: str | None = None
    ) -> None:
        """What the engine writes for a problem; sample i gets text i."""
        row = {"problem_id": problem, "texts": list(texts), "origin": origin, "finish_reason": finish}
        self.scripts[problem, origin] = {name: value for name, value in row.items() if value is not None}

    def session(self, overrides: Sequence[str] = (), name: str = "lab") -> Session:
        """A session on the experiment `name` with further `key=value` settings."""
        self._write("script.jsonl", list(self.scripts.values()))
        (self.folder / "config.yaml").write_text(CONFIG)
        script = f"engine.script={self.folder / 'script.jsonl'}"
        settings = [script, f"model.base={self.base}", *overrides]
        loaded = load_config(self.folder / "config.yaml", settings, experiment=name)
        return open_session(self.home, name, loaded, LogProgress())

    def run(self, *overrides: str, name: str = "lab", until: str | None = None) -> str:
        """Run the experiment (to the first `until`); the reason it ended."""
        return run_experiment(self.session(overrides, name), until=until)

    @property
    def store(self) -> Store:
        """The store of the experiments."""
        return Store(self.home)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of any query on the store."""
        return self.store.query_readonly(sql)[1]

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def _problem(prefix: str, index: int, other: int) -> dict[str, str]:
    return {"id": f"{prefix}{index}", "question": f"What is {index} + {other}?", "answer": str(index + other)}


def right(answer: int, words: str = "Adding them up") -> str:
    """A rationale with the answer `answer`."""
    return f"{words} gives {answer}.\n#### {answer}"


@pytest.fixture(scope="session")
def text_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level model with random weights: it is trained for real, but what it writes comes from a script."""
    config = TextBase(steps=0, width=16, layers=1, heads=2, ffn=16, context=512, vocabulary=300)
    return ensure_tiny_base(config, tmp_path_factory.mktemp("bases"), LogProgress())


@pytest.fixture
def lab(tmp_path: Path, text_base: Path) -> Lab:
    """Six train problems that the script answers wrongly, and four dev problems that it answers right."""
    made = Lab(tmp_path, text_base, train=6, dev=4)
    for index in range(6):
        made.says(f"p{index}", [right(1000)])
    return made
