"""Fine-tunes the base (or model n-1) on the round's training rows, in a child process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.counted import counted
from pipeline.errors import DivergedError
from pipeline.records import Rejection, RejectionReason
from pipeline.stages.base import Model, Output, StageContext, StageResult, result
from pipeline.stages.sweep import best_of, variant_name
from pipeline.store.tables import write_rows
from pipeline.training import Tracking, TrainResult, TrainSpec, held_out_problems, planned_steps, train

VARIANT = "main"


@dataclass(frozen=True)
class TrainingSet:
    """A round's training rows as files: `rows` of them trained on, those of `held_out` problems not."""

    digest: str
    path: Path
    rows: int
    held_out_path: Path | None
    held_out: frozenset[str]
    rejections: list[Rejection]


def run(ctx: StageContext) -> StageResult:
    start = ctx.model if ctx.config.train.start == "previous" and ctx.model is not None else ctx.need_base()
    training_set = _training_set(ctx)
    output = Output(ctx)
    if training_set is None:
        return result(
            ctx, output, "no training rows: nothing was kept, so nothing is trained", rows_in=0, rows_out=0
        )
    ctx.engines.rest()
    trained, variants = _train(ctx, start, training_set)
    output.write("checkpoints", [_checkpoint(ctx, start, training_set, trained)])
    if training_set.rejections:
        output.write("rejections", (asdict(rejection) for rejection in training_set.rejections))
    return result(
        ctx,
        output,
        _told(trained, training_set, variants),
        rows_in=training_set.rows + len(training_set.rejections),
        rows_out=1,
        tokens=trained.tokens,
        engine_seconds=trained.step_seconds,
        engine_tokens=trained.new_tokens,
        peak_memory=trained.peak_memory_mb,
        peak_gpu_memory=trained.peak_gpu_memory_mb,
        detail={**_detail(trained), **({"variants": variants} if variants else {})},
        device=trained.device,
        versions=trained.versions,
    )


def _training_set(ctx: StageContext) -> TrainingSet | None:
    """The files that the training child reads; None where nothing was kept."""
    share = ctx.config.train.held_out
    held_out = (
        held_out_problems((row["problem_id"] for row in _rows(ctx)), share, ctx.config.seed)
        if share
        else frozenset()
    )
    written = write_rows(
        "training_inputs",
        ctx.folder / "rows.parquet",
        (_inputs(row) for row in _rows(ctx) if row["problem_id"] not in held_out),
    )
    if written.rows == 0:
        written.path.unlink()
        return None
    apart = [row for row in _rows(ctx) if row["problem_id"] in held_out] if held_out else []
    held_out_path = ctx.folder / "held_out.parquet" if apart else None
    if held_out_path is not None:
        write_rows("training_inputs", held_out_path, map(_inputs, apart))
    detail = f"of {counted(len(held_out), 'problem')} held out to measure the training"
    return TrainingSet(
        digest=ctx.store.rows("training_set", experiment=ctx.experiment, round=ctx.round)[0][
            "training_set_digest"
        ],
        path=written.path,
        rows=written.rows,
        held_out_path=held_out_path,
        held_out=held_out,
        rejections=[
            Rejection(row["problem_id"], row["rationale_id"], RejectionReason.HELD_OUT, detail)
            for row in apart
        ],
    )


def _rows(ctx: StageContext) -> Iterator[Mapping[str, Any]]:
    return ctx.store.stream("training_inputs", experiment=ctx.experiment, round=ctx.round)


def _inputs(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the trainer reads of a row."""
    return {"input_ids": row["input_ids"], "labels": row["labels"]}


def _train(
    ctx: StageContext, start: Model, training_set: TrainingSet
) -> tuple[TrainResult, list[dict[str, Any]]]:
    """The training of the round, or of a sweep the best one, with a record of each."""
    trainings = ctx.config.train.trainings()
    for config in trainings:
        ctx.progress.note(planned_steps(config, training_set.rows, ctx.round).sentence)
    try:
        if ctx.config.train.variants is None:
            return train(_spec(ctx, start, training_set, trainings[0], VARIANT), ctx.progress), []
        specs = [
            _spec(ctx, start, training_set, config, variant_name(index))
            for index, config in enumerate(trainings)
        ]
        best, candidates = best_of(ctx, specs)
        assert best.trained is not None, "the best of a sweep was trained"
        return best.trained, [each.as_fields(best) for each in candidates]
    except DivergedError as error:
        slower = f"train.learning_rate={ctx.config.train.learning_rate / 10:g}"
        if ctx.config.train.variants is not None:
            slower = "'train.variants=[...]' with lower learning rates"
        raise DivergedError(
            f"{error}. What decides the outcome is recorded with experiment {ctx.experiment}, so go on under "
            f"a new name: star fork {ctx.experiment} NEW --from-round {ctx.round - 1} --set {slower}"
        ) from None


def _spec(
    ctx: StageContext, start: Model, training_set: TrainingSet, config: TrainConfig, variant: str
) -> TrainSpec:
    return TrainSpec(
        start_path=start.path,
        rows_path=training_set.path,
        output=ctx.home.checkpoint(ctx.experiment, ctx.round, variant) / ctx.input_digest[:12],
        config=config,
        round=ctx.round,
        seed=ctx.config.seed,
        pad_id=ctx.tokenizer().pad_id,
        lineage=_lineage(ctx, start.content_hash, training_set.digest),
        tracking=Tracking.of_training(
            ctx.config.train,
            ctx.experiment,
            ctx.round,
            ctx.home.trackers(ctx.experiment),
            variant=None if variant == VARIANT else variant,
        ),
        held_out_path=training_set.held_out_path,
    )


def _checkpoint(
    ctx: StageContext, start: Model, training_set: TrainingSet, trained: TrainResult
) -> dict[str, Any]:
    """The row of the table checkpoints."""
    return {
        "variant": VARIANT,
        "path": ctx.home.relative(Path(trained.path)),
        "content_hash": trained.content_hash,
        "parent_hash": start.content_hash,
        "base_hash": ctx.need_base().content_hash,
        "training_set_digest": training_set.digest,
        "rows": training_set.rows,
        "steps": trained.steps,
        "epochs": trained.epochs,
        "tokens": trained.tokens,
        "loss": trained.loss,
        "seconds": trained.seconds,
    }


def _detail(trained: TrainResult) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "steps": trained.steps,
        "first_step_seconds": trained.first_step_seconds,
    }
    if trained.lost_logs:
        detail["lost_logs"] = trained.lost_logs
    if trained.resumed_step:
        detail["resumed_step"] = trained.resumed_step
    if trained.held_out_losses:
        detail["held_out"] = {"losses": trained.held_out_losses, "best_step": trained.best_step}
    return detail


def _told(trained: TrainResult, training_set: TrainingSet, variants: Sequence[Mapping[str, Any]]) -> str:
    text = (
        f"{counted(trained.steps, 'step')} over {counted(training_set.rows, 'row')} "
        f"({trained.epochs:.1f} epochs), loss {trained.loss:.3f}"
    )
    if training_set.rejections:
        lowest = min(loss for _, loss in trained.held_out_losses)
        text += (
            f"; {counted(len(training_set.rejections), 'row')} of "
            f"{counted(len(training_set.held_out), 'problem')} held out, their loss lowest ({lowest:.3f}) "
            f"after step {trained.best_step:,}, whose weights are kept"
        )
    for variant in variants:
        if variant["taken"]:
            text += f"; {variant['variant']} taken of {len(variants)}"
    if trained.resumed_step:
        text += f"; went on after step {trained.resumed_step:,}"
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
