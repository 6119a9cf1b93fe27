"""Does a rationalized text lead the model, unaided, to the answer? Its last line is written again.

A rationale that only decorates an answer it was shown does not survive this; the row is marked, or left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.prompts import PromptBook
from pipeline.records import Origin, Prompt, PromptStyle, Purpose
from pipeline.sampling import Ask
from pipeline.stages.base import StageContext, StageResult, problem_of
from pipeline.stages.writing import attempts_result, greedy, sample


def run(ctx: StageContext) -> StageResult:
    asks = list(_asks(ctx, ctx.prompt_book()))
    samplers = [sample(ctx, asks, len(asks), Origin.EVALUATED, greedy(ctx.config))] if asks else []
    return attempts_result(ctx, samplers, f"{len(asks):,} rationalized texts without their last line")


def _asks(ctx: StageContext, book: PromptBook) -> Iterator[Ask]:
    rows = ctx.store.stream(
        "correct_rationalized", experiment=ctx.experiment, round=ctx.round, shard=ctx.shard
    )
    for row in rows:
        begun, newline, _ = row["text"].rpartition("\n")
        if not begun.strip():
            continue
        begun += newline
        problem = problem_of(row)
        text = book.canonical(problem).text + book.completion(begun)
        yield Ask(problem, Prompt(text, PromptStyle.ZERO_SHOT), row["sample"], Purpose.REGENERATION, begun)
