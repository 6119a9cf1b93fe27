"""The numbers of the rounds so far, to the trackers that follow the experiment (`train.report_to`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.stages.base import StageContext
from pipeline.training import Tracking, log_rounds

_NOT_YET = ("round", "seconds")
"""The step itself, and what still grows while the round is being decided."""


def track_rounds(ctx: StageContext) -> dict[str, str]:
    """Log the numbers of `rounds_summary`; by tracker that failed what it lacks."""
    tracking = Tracking.of_rounds(ctx.config.train, ctx.experiment, ctx.home.trackers(ctx.experiment))
    if tracking is None:
        return {}
    rows = ctx.store.rows("rounds_summary", experiment=ctx.experiment)
    return log_rounds(tracking, {row["round"]: _numbers(row) for row in rows if row["round"] <= ctx.round})


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a round under their column's name; trackers file what begins with `eval_` apart."""
    return {
        f"eval_{name}" if name.startswith(("dev_", "eval_")) else name: value
        for name, value in row.items()
        if name not in _NOT_YET and isinstance(value, (int, float)) and not isinstance(value, bool)
    }
