"""Experiments on real text from checked-in configs, with a tiny base or with texts that a script gives."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from pipeline.config import load_config
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.runner import open_session, run_experiment
from pipeline.store import Store

UNTRAINED = "{kind: text, steps: 0, width: 16, layers: 1, heads: 2, ffn: 16, context: 2048, vocabulary: 300}"
"""A byte-level base with random weights: it is trained for real, but what it would write is noise."""

KEPT = "kept"
ATTEMPTS = """
    select a.problem_id, a.origin, a.sample, coalesce(r.reason, 'kept')
    from rationales as a
    left join rejections as r on r.experiment = a.experiment and r.rationale_id = a.rationale_id and not r.superseded
    where a.experiment = ? and a.purpose = 'training' and not a.superseded
"""
ACCURACY = (
    "select split, prompt_style, problems, correct from evaluations where metric = 'accuracy' order by all"
)
Fate = tuple[str, str, int]  # problem_id, origin, sample


@dataclass
class TextRun:
    """One experiment in a home of its own; `settings` stand beside those of the config."""

    home: Home
    config: Path
    settings: Sequence[str]
    name: str
    script: list[dict[str, Any]] = field(default_factory=list)

    @property
    def script_path(self) -> Path:
        return self.home.root / f"{self.name}-script.jsonl"

    def run(self, until: str | None = None) -> str:
        """Run to the end (or to the first `until`); the reason it ended."""
        self.script_path.parent.mkdir(parents=True, exist_ok=True)
        self.script_path.write_text("".join(json.dumps(row) + "\n" for row in self.script))
        loaded = load_config(self.config, self.settings, experiment=self.name)
        return run_experiment(open_session(self.home, self.name, loaded, LogProgress()), until=until)

    def says(self, problem: str, origin: str, texts: Sequence[str], finish: str = "eos") -> None:
        """What the scripted engine writes for a problem: sample i gets text i."""
        self.script.append(
            {"problem_id": problem, "origin": origin, "texts": list(texts), "finish_reason": finish}
        )

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """The rows of a query on the store; every `?` is a parameter."""
        return Store(self.home).query_readonly(sql, params)[1]

    def problems(self, split: str) -> list[dict[str, Any]]:
        """The problems of a split by id."""
        rows = self.rows(
            "select problem_id, question, answer, choices from problems where experiment = ? and split = ? order by 1",
            self.name,
            split,
        )
        return [
            {
                "problem_id": key,
                "question": question,
                "answer": answer,
                "choices": json.loads(choices or "{}"),
            }
            for key, question, answer, choices in rows
        ]

    def fates(self) -> dict[Fate, str]:
        """`kept` or the reason of its rejection, for every attempt to train on."""
        return {
            (problem, origin, sample): fate
            for problem, origin, sample, fate in self.rows(ATTEMPTS, self.name)
        }

    def star(self, *arguments: str) -> Result:
        """A command of `star` on this home."""
        from pipeline.cli.app import app

        return CliRunner().invoke(app, ["--home", str(self.home.root), *arguments])


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def count(values: Iterable[bool]) -> int:
    return sum(1 for value in values if value)


def wilson(correct: int, problems: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927), written out for the tests."""
    z = 1.959963984540054
    share, square = correct / problems, z * z / problems
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / problems + square / (4 * problems))
    return middle - half, middle + half
