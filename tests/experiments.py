"""A small experiment that a script writes the texts of, run by the real command line, shared by all workers."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "sums"
HOSTILE = "\x1b[31mred\x1b]0;title\x07 <script>alert('x')</script> \u202egnp\u202c {{ 7 * 7 }}"
"""What a model may write to drive a terminal or a page; here it stands in a kept rationale."""

CONFIG = """
description: Sums whose texts a script gives
rounds: {rounds}
model:
  base: tiny
  tiny: {{kind: text, steps: 0, width: 16, layers: 1, heads: 2, ffn: 16, context: 512, vocabulary: 300}}
problems:
  sources:
    train: {{kind: jsonl, path: train.jsonl, fields: {{problem_id: id, difficulty: level}}}}
    dev: {{kind: jsonl, path: dev.jsonl, split: dev, fields: {{problem_id: id, difficulty: level}}}}
    eval: {{kind: jsonl, path: eval.jsonl, split: eval, fields: {{problem_id: id, difficulty: level}}}}
prompts:
  answer_line: "####.*"
  few_shot:
    - {{question: "What is 1 + 1?", rationale: "One and one are two.\\n#### 2", answer: "2"}}
engine: {{kind: scripted, script: {folder}/script.jsonl}}
generate: {{samples: 2, temperature: 1.0, max_tokens: 64}}
verify: {{grader: {{type: numeric, extract: [hash4]}}, workers: 1}}
train: {{epochs: 1, learning_rate: 1.0e-3}}
"""


def star(
    *arguments: str, home: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `star` as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent), **(env or {})},
        timeout=600,
    )


def write_config(folder: Path, rounds: int = 2) -> Path:
    """The config with its problems and script.

    Train: p0 and p1 come out right, p2 only with the hint, p3 is cut off, p4 and p5 are wrong; what is kept of
    p0 and p2 is hostile. Dev and eval: half come out right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix, count in (("train", "p", 6), ("dev", "d", 4), ("eval", "e", 4)):
        offset = {"train": 0, "dev": 20, "eval": 40}[split]
        _write(folder / f"{split}.jsonl", [_problem(prefix, index, offset) for index in range(count)])
    _write(folder / "script.jsonl", _script())
    config = folder / "sums.yaml"
    config.write_text(CONFIG.format(rounds=rounds, folder=folder))
    return config


def make_once(root: Path, name: str, rounds: int, *further: str) -> Path:
    """The home of an experiment run under `root`: by the first process that asks, waited for by the others."""
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            config = write_config(folder / "project", rounds)
            told = star("run", str(config), *further, home=folder / "home")
            assert told.returncode == 0, told.stderr
            (folder / "done").write_text(told.stdout)
    return folder


def right(answer: int, words: str = "Adding them up") -> str:
    return f"{words} gives {answer}.\n#### {answer}"


def _script() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"problem_id": "p0", "texts": [right(1, HOSTILE), right(1)]},
        {"problem_id": "p1", "texts": [right(3), right(99)]},
        {"problem_id": "p2", "origin": "rationalized", "texts": [right(5, HOSTILE)]},
        {"problem_id": "p3", "texts": ["It goes on and on"], "finish_reason": "length"},
    ]
    rows += [{"problem_id": f"p{index}", "texts": [right(99)]} for index in (2, 4, 5)]
    for prefix, offset in (("d", 20), ("e", 40)):
        for index in range(4):
            answer = 2 * index + 1 + offset
            rows.append({"problem_id": f"{prefix}{index}", "texts": [right(answer if index % 2 else 0)]})
    return rows


def _problem(prefix: str, index: int, offset: int) -> dict[str, str]:
    return {
        "id": f"{prefix}{index}",
        "question": f"What is {index + offset} + {index + 1}?",
        "answer": str(2 * index + 1 + offset),
        "level": "easy" if index < 2 else "hard",
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
