"""Rows of a large store, made column by column: problems, attempts, verdicts, what was kept and left out.

Texts are runs of words of this project's own documents, with numbers between them, so that they compress as
prose does and no two are alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.tables import schema_of

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 8
"""Attempts at a problem in a round: all but the last without the hint."""
_RUN = 4
_MADE = datetime(2026, 1, 1)
_MODEL = "0" * 64


@dataclass(frozen=True, slots=True)
class Size:
    """How much: attempts to train on in all, characters of each, over experiments, rounds and shards."""

    rows: int
    chars: int
    experiments: int
    rounds: int
    shards: int

    @property
    def problems(self) -> int:
        """Problems of an experiment: a multiple of the shards."""
        return max(1, self.rows // (self.experiments * self.rounds * SAMPLES * self.shards)) * self.shards

    @property
    def attempts(self) -> int:
        """Attempts to train on, after rounding."""
        return self.experiments * self.rounds * self.problems * SAMPLES


@dataclass(frozen=True)
class Maker:
    """Makes the rows of one experiment; the same seed makes the same rows."""

    size: Size
    experiment: str
    seed: int

    @cached_property
    def words(self) -> pa.Array:
        documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
        found = re.findall(r"[A-Za-z]+[.,:]?", " ".join(path.read_text() for path in documents))
        generator = np.random.default_rng(0)
        numbers = [str(number) for number in generator.integers(0, 10_000, len(found) // 4)]
        return pa.array(generator.permutation(np.array(found + numbers, dtype=object)).tolist())

    def texts(self, generator: np.random.Generator, rows: int, chars: int) -> pa.Array:
        """Texts of about `chars` characters, a quarter more or less."""
        mean = pc.mean(pc.utf8_length(self.words)).as_py() + 1
        runs = np.maximum(1, generator.normal(1, 0.12, rows) * chars / mean / _RUN).astype(np.int32)
        starts = generator.integers(0, len(self.words) - _RUN, int(runs.sum()))
        places = (starts[:, None] + np.arange(_RUN)).ravel()
        offsets = np.concatenate([[0], np.cumsum(runs * _RUN)]).astype(np.int32)
        return pc.binary_join(pa.ListArray.from_arrays(offsets, self.words.take(pa.array(places))), " ")

    def problems(self) -> pa.Table:
        """The train problems, and as many dev problems as make a greedy evaluation."""
        train = self.size.problems
        ids = [_problem(number) for number in range(train)] + [
            f"d{number:04d}" for number in range(_measured(train))
        ]
        generator = np.random.default_rng(self.seed)
        return _table(
            "problems",
            len(ids),
            {
                "experiment": self.experiment,
                "problem_id": ids,
                "split": ["train"] * train + ["dev"] * (len(ids) - train),
                "question": self.texts(generator, len(ids), 200),
                "answer": "7",
                "difficulty": [f"level {number % 3}" for number in range(len(ids))],
                "source": "made",
                "exemplar": False,
                "added_round": 0,
                "canonical_prompt_hash": [f"prompt-{name}" for name in ids],
                "round": 0,
            },
        )

    def prompts(self, problems: pa.Table) -> pa.Table:
        """The prompt of every problem."""
        texts = [f"Question: {text}\nAnswer:" for text in problems.column("question").to_pylist()]
        hashes = [f"prompt-{name}" for name in problems.column("problem_id").to_pylist()]
        return pa.table({"prompt_hash": hashes, "text": texts}, schema=schema_of("prompts"))

    def attempts(self, round_: int, shard: int) -> dict[str, pa.Table]:
        """Rationales of a shard, their verdicts, and of these what is kept and what is left out."""
        generator = np.random.default_rng([self.seed, round_, shard])
        problems = np.arange(shard, self.size.problems, self.size.shards)
        number, sample = np.repeat(problems, SAMPLES), np.tile(np.arange(SAMPLES), len(problems))
        rationales = self._rationales(generator, round_, [_problem(each) for each in number], sample)
        correct = generator.random(len(number)) < _ability(number, self.size.problems, round_)
        verdicts = self._verdicts(generator, round_, rationales, correct)
        first = np.zeros(len(number), dtype=bool)
        for place in np.flatnonzero(correct):  # one row a problem
            first[place] = not correct[place - sample[place] : place].any()
        return {
            "rationales": rationales,
            "verdicts": verdicts,
            "training_rows": self._kept(generator, round_, rationales.filter(pa.array(first))),
            "rejections": self._rejected(round_, rationales.filter(pa.array(~first)), correct[~first]),
        }

    def evaluation(self, round_: int) -> dict[str, pa.Table]:
        """Greedy attempts at the dev problems, their verdicts, and the accuracy."""
        generator = np.random.default_rng([self.seed, round_, 10_000])
        count = _measured(self.size.problems)
        names = [f"d{number:04d}" for number in range(count)]
        correct = generator.random(count) < 0.2 + 0.06 * round_
        rationales = self._rationales(
            generator, round_, names, np.zeros(count, dtype=np.int32), purpose="greedy", split="dev"
        )
        share = float(correct.mean())
        measured = {
            "experiment": self.experiment,
            "round": round_,
            "split": "dev",
            "metric": "accuracy",
            "prompt_style": "zero_shot",
            "problems": count,
            "correct": int(correct.sum()),
            "value": share,
            "low": max(0.0, share - 0.03),
            "high": min(1.0, share + 0.03),
        }
        return {
            "rationales": rationales,
            "verdicts": self._verdicts(generator, round_, rationales, correct),
            "evaluations": _table("evaluations", 1, measured),
        }

    def _rationales(
        self,
        generator: np.random.Generator,
        round_: int,
        problems: list[str],
        sample: np.ndarray,
        purpose: str = "training",
        split: str = "train",
    ) -> pa.Table:
        rows = len(problems)
        text = self.texts(generator, rows, self.size.chars)
        origins = np.where(sample == SAMPLES - 1, "rationalized", "generated")
        tokens = pc.cast(pc.divide(pc.utf8_length(text), 4), pa.int32())
        return _table(
            "rationales",
            rows,
            {
                "rationale_id": _hashes(generator, rows),
                "experiment": self.experiment,
                "round": round_,
                "origin": "evaluated" if purpose == "greedy" else origins.tolist(),
                "purpose": purpose,
                "problem_id": problems,
                "split": split,
                "difficulty": [f"level {int(name[1:]) % 3}" for name in problems],
                "sample": sample.astype(np.int32),
                "text": text,
                "answer": [str(value) for value in generator.integers(0, 20, rows)],
                "finish_reason": np.where(generator.random(rows) < 0.03, "length", "eos").tolist(),
                "prompt_tokens": 60,
                "completion_tokens": tokens,
                "text_chars": pc.cast(pc.utf8_length(text), pa.int32()),
                "norm_hash": _hashes(generator, rows),
                "mean_logprob": generator.normal(-0.5, 0.1, rows),
                "sampling": '{"max_tokens":512,"temperature":0.7}',
                "seed": generator.integers(0, 1 << 62, rows),
                "model_hash": _MODEL,
                "prompt_hash": [f"prompt-{name}" for name in problems],
                "prompt_style": "zero_shot",
                "engine": "made",
                "seconds": 0.1,
                "created_at": _MADE,
            },
        )

    def _verdicts(
        self, generator: np.random.Generator, round_: int, rationales: pa.Table, correct: np.ndarray
    ) -> pa.Table:
        other = np.where(generator.random(len(correct)) < 0.01, "ungraded", "wrong")
        return _table(
            "verdicts",
            len(correct),
            {
                "rationale_id": rationales.column("rationale_id"),
                "experiment": self.experiment,
                "round": round_,
                "grader": "main",
                "grader_digest": "g" * 64,
                "outcome": np.where(correct, "correct", other).tolist(),
                "score": correct.astype(float),
                "reason": np.where(
                    correct, "exact", np.where(other == "wrong", "different", "timeout")
                ).tolist(),
                "answer": rationales.column("answer"),
                "elapsed_ms": generator.exponential(0.2, len(correct)),
                "decides": True,
            },
        )

    def _kept(self, generator: np.random.Generator, round_: int, rationales: pa.Table) -> pa.Table:
        rows = rationales.num_rows
        tokens = np.asarray(rationales.column("completion_tokens")) + 61
        offsets = np.concatenate([[0], np.cumsum(tokens)]).astype(np.int32)
        ids = generator.integers(0, 32_000, int(offsets[-1]), dtype=np.int32)
        same = ("rationale_id", "problem_id", "origin", "prompt_hash", "norm_hash", "sample")
        return _table(
            "training_rows",
            rows,
            {
                **{name: rationales.column(name) for name in same},
                "experiment": self.experiment,
                "round": round_,
                "from_round": round_,
                "grader_digest": "g" * 64,
                "prompt": "Question: of the problem\nAnswer:",
                "completion": rationales.column("text"),
                "tokens": tokens.astype(np.int32),
                "input_ids": pa.ListArray.from_arrays(offsets, pa.array(ids)),
                "labels": pa.ListArray.from_arrays(offsets, pa.array(ids)),
                "training_set_digest": f"set-{round_}",
            },
        )

    def _rejected(self, round_: int, rationales: pa.Table, correct: np.ndarray) -> pa.Table:
        return _table(
            "rejections",
            rationales.num_rows,
            {
                "rationale_id": rationales.column("rationale_id"),
                "problem_id": rationales.column("problem_id"),
                "experiment": self.experiment,
                "round": round_,
                "reason": np.where(correct, "over_problem_cap", "wrong").tolist(),
            },
        )


def checkpoint(experiment: str, round_: int, rows: int) -> pa.Table:
    """The row of the model of a round."""
    return _table(
        "checkpoints",
        1,
        {
            "experiment": experiment,
            "round": round_,
            "variant": "main",
            "path": f"experiments/{experiment}/round-{round_:03d}/checkpoints/main",
            "content_hash": f"model-{round_}",
            "parent_hash": _MODEL,
            "base_hash": _MODEL,
            "training_set_digest": f"set-{round_}",
            "rows": rows,
            "steps": 100,
        },
    )


def _table(name: str, rows: int, columns: Mapping[str, Any]) -> pa.Table:
    """A table of the store; a single value stands in every row, what is not named is null."""
    schema = schema_of(name)
    given = {"stage": "", "shard": 0, "superseded": False, **columns}
    arrays = []
    for field in schema:
        value = given.get(field.name)
        if isinstance(value, pa.ChunkedArray):
            value = value.combine_chunks()
        if isinstance(value, list | np.ndarray | pa.Array):
            arrays.append(value if isinstance(value, pa.Array) else pa.array(value, field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), rows))
    return pa.Table.from_arrays(arrays, schema=schema)


def _hashes(generator: np.random.Generator, rows: int) -> pa.Array:
    """As many random names of 32 hex characters."""
    text = generator.bytes(16 * rows).hex()
    return pa.array([text[place : place + 32] for place in range(0, 32 * rows, 32)])


def _problem(number: int) -> str:
    return f"p{number:07d}"


def _measured(problems: int) -> int:
    return min(500, problems)


def _ability(number: np.ndarray, problems: int, round_: int) -> np.ndarray:
    """How likely each attempt is right: easier problems first, better with every round."""
    return np.clip(0.02 + 0.06 * round_ + 0.4 * (number / problems) ** 2, 0, 0.95)
