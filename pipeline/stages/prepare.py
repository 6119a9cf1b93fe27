"""Round 0: the base, problems, exemplars. Later rounds: which model writes, and problems that arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig, stage_config
from pipeline.config.experiment import IDENTITY
from pipeline.config.of_source import own_graders, own_prompts, shares
from pipeline.counted import counted
from pipeline.errors import NotReadyError
from pipeline.identity import digest, text_hash
from pipeline.problems import Growth, ProblemSet, load_problems, new_problems
from pipeline.problems.replay import read_replay
from pipeline.prompts import PromptBook
from pipeline.prompts.of_experiment import book_of
from pipeline.records import Problem, Split
from pipeline.stages.base import Output, StageContext, StageResult, problem_of, result
from pipeline.stages.dev import check_dev_problems
from pipeline.stages.exemplars import exemplar_notes
from pipeline.store import Store


def run(ctx: StageContext) -> StageResult:
    return _first(ctx) if ctx.round == 0 else _later(ctx)


def _first(ctx: StageContext) -> StageResult:
    base = ctx.need_base()
    loaded = load_problems(ctx.config)
    for note in [*loaded.notes, *exemplar_notes(ctx.config, loaded.exemplars), *_replay_notes(ctx.config)]:
        ctx.progress.note(note)
    output = Output(ctx)
    book = book_of(
        ctx.config,
        loaded.exemplars,
        loaded.hinted_exemplars,
        ctx.tokenizer().render_chat if ctx.config.prompts.chat else None,
    )
    _try_hint(ctx.config, loaded, book)
    check_dev_problems(ctx.config, sum(problem.split is Split.DEV for problem in loaded.problems))
    output.write("problems", (_problem_row(problem, book, 0) for problem in loaded.problems))
    if own_prompts(ctx.config) or own_graders(ctx.config) or shares(ctx.config):
        output.add(stage_config(ctx.config, ("problems.sources",)))  # what later stages take from sources
    problems_digest = output.digest
    output.write("bad_problems", (asdict(bad) for bad in loaded.bad))
    output.write("rejections", (asdict(rejection) for rejection in loaded.rejections))
    _record_experiment(ctx, loaded)
    _record_round(ctx, problems_digest, base.content_hash)
    output.add(base.content_hash)
    return result(
        ctx,
        output,
        _sentence(loaded),
        rows_in=len(loaded.problems) + len(loaded.bad) + len(loaded.rejections),
        rows_out=len(loaded.problems),
    )


def _try_hint(config: ExperimentConfig, loaded: ProblemSet, book: PromptBook) -> None:
    """ConfigError now, not after a round's generation, where a hinted prompt would show no hint."""
    first_of = {one.source: one for one in reversed(loaded.problems) if one.split == Split.TRAIN}
    for train in first_of.values() if config.rationalize.enabled else ():
        book.hinted(train, config.rationalize.few_shot)


def _replay_notes(config: ExperimentConfig) -> list[str]:
    """What the file of general data holds; a bad row is refused here, not after a round's generation."""
    replay = config.train.replay
    if replay is None:
        return []
    rows = read_replay(replay, Path(config.problems.data_dir or "."))
    return [f"replay: {counted(len(rows), 'row')} in {replay.path}, {replay.share:.0%} of each training set"]


def _later(ctx: StageContext) -> StageResult:
    before = ctx.store.rows("round", experiment=ctx.experiment, round=ctx.round - 1)
    if not before:
        raise NotReadyError(
            f"round {ctx.round} of experiment {ctx.experiment} has no round {ctx.round - 1} to stand on; "
            f"run: star run {ctx.experiment} --rounds {ctx.round}"
        )
    output = Output(ctx)
    growth = _write_new_problems(ctx, output)
    # The digest of an unchanged problem set stays that of the round before.
    problems_digest = before[0]["problems_digest"]
    if growth.problems:
        problems_digest = digest([problems_digest, output.digest])
    model_hash = _writer_hash(ctx)
    _record_round(ctx, problems_digest, model_hash)
    output.add([problems_digest, model_hash])
    new = f"; {growth.note}" if growth.note else ""
    return result(
        ctx,
        output,
        f"round {ctx.round}: model {model_hash[:12]} of round {ctx.round - 1} writes{new}",
        rows_in=len(growth.problems) + len(growth.rejections),
        rows_out=len(growth.problems),
    )


def _write_new_problems(ctx: StageContext, output: Output) -> Growth:
    """Take in the train problems that were added to the files since the last round."""
    growth = arrived_problems(ctx.store, ctx.experiment, ctx.config, ctx.round)
    if growth.problems:
        book = ctx.prompt_book()
        output.write("problems", (_problem_row(problem, book, ctx.round) for problem in growth.problems))
    if growth.rejections:
        output.write("rejections", (asdict(rejection) for rejection in growth.rejections))
    return growth


def arrived_problems(store: Store, experiment: str, config: ExperimentConfig, round_: int) -> Growth:
    """What the files hold beyond what was read before round `round_`."""
    known = store.rows("known_problem_ids", experiment=experiment, round=round_)
    held_out = [
        problem_of(row)
        for split in (Split.DEV, Split.EVAL, Split.FURTHER)
        for row in store.rows("problems_of_split", experiment=experiment, split=split)
    ]
    return new_problems(config, {row["problem_id"] for row in known}, held_out)


def _writer_hash(ctx: StageContext) -> str:
    """The model of the round before: the base, or the checkpoint it trained."""
    if ctx.round == 1:
        return ctx.need_base().content_hash
    rows = ctx.store.rows("checkpoint", experiment=ctx.experiment, round=ctx.round - 1)
    if not rows:
        raise NotReadyError(
            f"round {ctx.round} has no checkpoint of round {ctx.round - 1} (experiment {ctx.experiment}); "
            f"run: star stage train {ctx.experiment} --round {ctx.round - 1}"
        )
    return str(rows[0]["content_hash"])


def _record_experiment(ctx: StageContext, loaded: ProblemSet) -> None:
    content = stage_config(ctx.config, IDENTITY)
    row = {
        "experiment": ctx.experiment,
        "config": ctx.config.model_dump(mode="json"),
        "config_digest": digest(content),
        "base_model": ctx.config.model.base,
        "base_hash": ctx.need_base().content_hash,
        "exemplars": {
            "generation": [asdict(exemplar) for exemplar in loaded.exemplars],
            "hinted": [asdict(exemplar) for exemplar in loaded.hinted_exemplars],
        },
        "created_at": datetime.now(UTC).replace(tzinfo=None),
    }
    ctx.store.put("experiments", [row])


def _record_round(ctx: StageContext, problems_digest: str, model_hash: str) -> None:
    row = {
        "experiment": ctx.experiment,
        "round": ctx.round,
        "config": ctx.config.model_dump(mode="json"),
        "problems_digest": problems_digest,
        "model_hash": model_hash,
        "base_model_hash": ctx.need_base().content_hash,
        "status": "running",
        "decision": None,
        "reason": None,
        "started_at": datetime.now(UTC).replace(tzinfo=None),
        "finished_at": None,
    }
    ctx.store.put("rounds", [row])


def _problem_row(problem: Problem, book: PromptBook, round_: int) -> dict[str, Any]:
    canonical = text_hash(book.canonical(problem).text) if problem.split == Split.TRAIN else None
    return {**asdict(problem), "added_round": round_, "canonical_prompt_hash": canonical}


def _sentence(loaded: ProblemSet) -> str:
    def parts() -> Iterator[str]:
        for split in Split:
            number = sum(1 for problem in loaded.problems if problem.split == split)
            if number:
                yield f"{number:,} {split}"

    left_out = f"; {counted(len(loaded.rejections), 'problem')} left out" if loaded.rejections else ""
    bad = f"; {counted(len(loaded.bad), 'bad row')}" if loaded.bad else ""
    return f"{counted(len(loaded.problems), 'problem')}: {', '.join(parts())}{left_out}{bad}"
