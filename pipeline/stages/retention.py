"""Which checkpoints stay on disk after a round; their rows stay in the store in any case."""

from __future__ import annotations

from pipeline.stages.base import StageContext
from pipeline.training import CheckpointRole, prune


def keep_checkpoints(ctx: StageContext) -> int:
    """Delete what `train.keep` lets go. How many went."""
    rows = ctx.store.rows("checkpoints", experiment=ctx.experiment)
    if not rows:
        return 0
    newest = max(row["round"] for row in rows)
    best = _best_round(ctx)
    roles = [
        CheckpointRole(
            round=row["round"],
            path=ctx.home.absolute(row["path"]),
            best=row["round"] == best,
            newest=row["round"] == newest,
        )
        for row in rows
    ]
    return len(prune(roles, ctx.config.train.keep))


def _best_round(ctx: StageContext) -> int | None:
    """The trained round with the best dev accuracy, the earliest of equals; None without a dev split."""
    rows = [
        row
        for row in ctx.store.rows("accuracies", experiment=ctx.experiment, split="dev")
        if row["round"] > 0
    ]
    if not rows:
        return None
    return int(max(rows, key=lambda row: (row["value"], -row["round"]))["round"])
