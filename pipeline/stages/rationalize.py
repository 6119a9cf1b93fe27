"""Problems without a kept rationale are shown again with their gold answer (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config.experiment import RationalizeConfig
from pipeline.counted import counted
from pipeline.identity import seed_of
from pipeline.records import Origin, Purpose
from pipeline.sampling import asks_for
from pipeline.stages.base import StageContext, StageResult, problem_of
from pipeline.stages.writing import attempts_result, sample, sampling_of


def run(ctx: StageContext) -> StageResult:
    config = ctx.config.rationalize
    rows = (
        ctx.store.rows(
            "pass_rates", experiment=ctx.experiment, round=ctx.round, keep_cut_off=ctx.config.select.cut_off
        )
        if config.enabled
        else []
    )
    failed = [row for row in rows if _failed(row, config)]
    chosen = _share(failed, config.share, ctx)
    mine = [problem_of(row) for index, row in enumerate(chosen) if ctx.in_shard(index)]
    book = ctx.prompt_book()
    asks = asks_for(
        mine, lambda problem: book.hinted(problem, config.few_shot), config.samples, Purpose.TRAINING
    )
    total = len(mine) * config.samples
    model = ctx.need_base() if config.model == "base" else None
    sampling = sampling_of(ctx.config, config, config.max_tokens)
    samplers = [sample(ctx, asks, total, Origin.RATIONALIZED, sampling, model=model)] if total else []
    subject = (
        f"{len(failed):,} of {counted(len(rows), 'problem')} failed, {len(mine):,} hinted x {config.samples}"
    )
    if not config.enabled:
        subject = "rationalize.enabled is false: no hints shown"
    return attempts_result(ctx, samplers, subject)


def _failed(row: Mapping[str, Any], config: RationalizeConfig) -> bool:
    correct, attempts = int(row["correct"]), int(row["attempts"])
    if config.when == "none_correct" or attempts == 0:
        return correct == 0
    return correct / attempts < config.below


def _share(rows: list[dict[str, Any]], share: float, ctx: StageContext) -> list[dict[str, Any]]:
    """A share of the rows drawn by seed, in the order given."""
    wanted = round(len(rows) * share)
    if wanted >= len(rows):
        return rows
    seed = ctx.config.seed
    ranked = sorted(rows, key=lambda row: seed_of(seed, ctx.round, "share", row["problem_id"], 0))
    kept = {row["problem_id"] for row in ranked[:wanted]}
    return [row for row in rows if row["problem_id"] in kept]
