"""Graders say which of the attempts of the stage before are correct."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.stages.base import Output, StageContext, StageResult, result
from pipeline.stages.grading import Grades


def run(ctx: StageContext) -> StageResult:
    written_by = ctx.stage.inputs[0]

    def attempts() -> Iterator[dict[str, Any]]:
        return ctx.store.stream(
            "attempts_to_verify",
            experiment=ctx.experiment,
            round=ctx.round,
            stage=written_by,
            shard=ctx.shard,
        )

    grades = Grades(ctx, attempts)
    output = Output(ctx)
    rows = output.write("verdicts", grades.rows())
    attempted = grades.outcomes.total()
    return result(ctx, output, grades.sentence(), rows_in=attempted, rows_out=rows, detail=grades.detail())
