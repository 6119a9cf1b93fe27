"""Problems without a kept rationale are shown again with their gold answer (paper, section 3.3)."""

from __future__ import annotations

from typing import Any

from pipeline.counted import counted
from pipeline.identity import seed_of
from pipeline.records import Origin
from pipeline.stages.ahead import Ahead
from pipeline.stages.base import StageContext, StageResult, problem_of
from pipeline.stages.hinting import has_failed, hinted_asks, hinted_sampling
from pipeline.stages.writing import attempts_result, sample


def run(ctx: StageContext) -> StageResult:
    config = ctx.config.rationalize
    rows = (
        ctx.store.rows(
            "pass_rates", experiment=ctx.experiment, round=ctx.round, keep_cut_off=ctx.config.select.cut_off
        )
        if config.enabled
        else []
    )
    failed = [row for row in rows if has_failed(int(row["correct"]), int(row["attempts"]), config)]
    chosen = _share(failed, config.share, ctx)
    mine = [problem_of(row) for index, row in enumerate(chosen) if ctx.in_shard(index)]
    asks = hinted_asks(mine, ctx.prompt_book(), config)
    total = len(mine) * config.samples
    model = ctx.need_base() if config.model == "base" else None
    sampling, ahead = hinted_sampling(ctx), Ahead(ctx).completions()
    samplers = (
        [sample(ctx, asks, total, Origin.RATIONALIZED, sampling, model=model, ahead=ahead)] if total else []
    )
    subject = (
        f"{len(failed):,} of {counted(len(rows), 'problem')} failed, {len(mine):,} hinted x {config.samples}"
    )
    if not config.enabled:
        subject = "rationalize.enabled is false: no hints shown"
    return attempts_result(ctx, samplers, subject)


def _share(rows: list[dict[str, Any]], share: float, ctx: StageContext) -> list[dict[str, Any]]:
    """A share of the rows drawn by seed, in the order given."""
    wanted = round(len(rows) * share)
    if wanted >= len(rows):
        return rows
    seed = ctx.config.seed
    ranked = sorted(rows, key=lambda row: seed_of(seed, ctx.round, "share", row["problem_id"], 0))
    kept = {row["problem_id"] for row in ranked[:wanted]}
    return [row for row in rows if row["problem_id"] in kept]
