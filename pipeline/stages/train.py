"""Fine-tunes the base (or model n-1) on the round's training rows, in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.counted import counted
from pipeline.stages.base import Model, Output, StageContext, StageResult, result
from pipeline.store.tables import write_rows
from pipeline.training import Tracking, TrainResult, TrainSpec, planned_steps, train

VARIANT = "main"


def run(ctx: StageContext) -> StageResult:
    start = ctx.model if ctx.config.train.start == "previous" and ctx.model is not None else ctx.need_base()
    rows_path = ctx.folder / "rows.parquet"
    written = write_rows(
        "training_inputs",
        rows_path,
        ctx.store.stream("training_inputs", experiment=ctx.experiment, round=ctx.round),
    )
    output = Output(ctx)
    if written.rows == 0:
        rows_path.unlink()
        return result(
            ctx, output, "no training rows: nothing was kept, so nothing is trained", rows_in=0, rows_out=0
        )
    plan = planned_steps(ctx.config.train, written.rows, ctx.round)
    ctx.progress.note(plan.sentence)
    ctx.engines.rest()
    digest = ctx.store.rows("training_set", experiment=ctx.experiment, round=ctx.round)[0][
        "training_set_digest"
    ]
    trained = train(_spec(ctx, start, rows_path, digest), ctx.progress)
    output.write(
        "checkpoints",
        [
            {
                "variant": VARIANT,
                "path": ctx.home.relative(Path(trained.path)),
                "content_hash": trained.content_hash,
                "parent_hash": start.content_hash,
                "base_hash": ctx.need_base().content_hash,
                "training_set_digest": digest,
                "rows": written.rows,
                "steps": trained.steps,
                "epochs": trained.epochs,
                "tokens": trained.tokens,
                "loss": trained.loss,
                "seconds": trained.seconds,
            }
        ],
    )
    return result(
        ctx,
        output,
        _told(trained, written.rows),
        rows_in=written.rows,
        rows_out=1,
        tokens=trained.tokens,
        engine_seconds=trained.step_seconds,
        engine_tokens=trained.tokens if trained.step_seconds else 0,
        peak_memory=trained.peak_memory_mb,
        peak_gpu_memory=trained.peak_gpu_memory_mb,
        detail={
            "steps": trained.steps,
            "first_step_seconds": trained.first_step_seconds,
            **({"lost_logs": trained.lost_logs} if trained.lost_logs else {}),
        },
        device=trained.device,
        versions=trained.versions,
    )


def _spec(ctx: StageContext, start: Model, rows: Path, training_set_digest: str) -> TrainSpec:
    return TrainSpec(
        start_path=start.path,
        rows_path=rows,
        output=ctx.home.checkpoint(ctx.experiment, ctx.round, VARIANT) / ctx.input_digest[:12],
        config=ctx.config.train,
        round=ctx.round,
        seed=ctx.config.seed,
        pad_id=ctx.tokenizer().pad_id,
        lineage=_lineage(ctx, start.content_hash, training_set_digest),
        tracking=Tracking.of_training(
            ctx.config.train, ctx.experiment, ctx.round, ctx.home.trackers(ctx.experiment)
        ),
    )


def _told(trained: TrainResult, rows: int) -> str:
    text = (
        f"{counted(trained.steps, 'step')} over {counted(rows, 'row')} "
        f"({trained.epochs:.1f} epochs), loss {trained.loss:.3f}"
    )
    lost = (f"; {tracker} lost {counted(logs, 'log')}" for tracker, logs in trained.lost_logs.items())
    return text + "".join(lost)


def _lineage(ctx: StageContext, parent_hash: str, training_set_digest: str) -> dict[str, Any]:
    return {
        "experiment": ctx.experiment,
        "round": ctx.round,
        "base_model": ctx.config.model.base,
        "base_hash": ctx.need_base().content_hash,
        "parent_hash": parent_hash,
        "training_set_digest": training_set_digest,
    }
