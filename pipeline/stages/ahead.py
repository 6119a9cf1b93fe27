"""What is written and graded before the stage that it belongs to begins: files in the round's folder.

Whoever finds them there uses them: a later stage of the same process, another process, a run after a kill.
They are gone once the last of those stages is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.config.graders import GraderConfig
from pipeline.graders import grader_digest
from pipeline.records import Outcome, Verdict
from pipeline.stages.base import StageContext
from pipeline.store.tables import read_rows, write_rows


class Ahead:
    """Those of a stage's round; files that the stage adds name it and its shard."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx
        self._folder = ctx.home.ahead(ctx.experiment, ctx.round)

    def verdicts(self, grader: GraderConfig) -> dict[str, Verdict]:
        """Verdicts of `grader` by `item_key`; their own key is empty, since who asks knows the attempt."""
        digest = grader_digest(grader)
        return {
            row["item_key"]: _verdict(row)
            for file in _files(self._folder / "verdicts")
            for row in read_rows(file)
            if row["grader_digest"] == digest
        }

    def completions(self) -> Sequence[Path]:
        """Part files with rationalizations that were written while the round's generate was."""
        return _files(self._rationalized) if self._rationalized is not None else []

    def written(self) -> frozenset[str]:
        """Ids of those rationalizations."""
        return frozenset(row["rationale_id"] for file in self.completions() for row in read_rows(file))

    def flush_verdicts(self, digest: str, verdicts: Iterable[tuple[str, Verdict]]) -> None:
        """Write verdicts of the grader with that digest, each with its `item_key`."""
        rows = [_row(verdict, key, digest) for key, verdict in verdicts]
        write_rows("graded", self._new_file(self._folder / "verdicts"), rows)

    def flush_completions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of part files that rationalize will want."""
        assert self._rationalized is not None, "generate has begun"
        write_rows("parts", self._new_file(self._rationalized), rows)

    @cached_property
    def _rationalized(self) -> Path | None:
        """By the input digest that generate began with, which covers problems, prompts and model."""
        generated = self._ctx.store.state(replace(self._ctx.key, stage="generate")).input_digest
        return self._folder / f"rationales-{generated[:12]}" if generated is not None else None

    def _new_file(self, folder: Path) -> Path:
        name = f"{self._ctx.stage.name}-{self._ctx.shard}-of-{self._ctx.shards}"
        return folder / f"{name}-{len(list(folder.glob(f'{name}-*.parquet'))):05d}.parquet"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _row(verdict: Verdict, key: str, digest: str) -> dict[str, Any]:
    return {
        "item_key": key,
        "grader_digest": digest,
        "outcome": verdict.outcome,
        "score": verdict.score,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "subscores": dict(verdict.subscores),
        "elapsed_ms": verdict.elapsed_ms,
    }


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        "",
        Outcome(row["outcome"]),
        row["score"],
        row["reason"],
        row["answer"],
        row["subscores"],
        row["elapsed_ms"],
    )
