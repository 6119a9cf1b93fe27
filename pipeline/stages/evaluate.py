"""Model n answers dev and eval problems, greedily with one prompt for every round, or with k samples too.

Problems of further sets are asked in the same run of the engine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from pipeline.records import Origin, Problem, PromptStyle, Purpose
from pipeline.sampling import Sampler, asks_for
from pipeline.stages.base import StageContext, StageResult
from pipeline.stages.further import ask_further, further_problems
from pipeline.stages.measuring import problems_measured, sample_greedily
from pipeline.stages.writing import attempts_result, sample, sampling_of


def run(ctx: StageContext) -> StageResult:
    if ctx.model is None:
        return attempts_result(ctx, [], f"round {ctx.round} trained no model: nothing to evaluate")
    problems = [problem for index, problem in enumerate(_problems(ctx)) if ctx.in_shard(index)]
    samplers = list(_samplers(ctx, problems)) if problems else []
    sets = further_problems(ctx)
    samplers += ask_further(ctx, sets)
    further = f" and {sum(map(len, sets.values())):,} of further sets" if sets else ""
    return attempts_result(ctx, samplers, f"{len(problems):,} dev and eval problems{further}")


def styles_of(ctx: StageContext) -> tuple[PromptStyle, ...]:
    """The evaluation prompt of every round; in round 0 both, so that gains are quoted against the better."""
    style = ctx.config.evaluate.style
    exemplars = ctx.store.rows("experiment", experiment=ctx.experiment)[0]["exemplars"]["generation"]
    if ctx.round == 0 and exemplars:
        other = PromptStyle.FEW_SHOT if style == PromptStyle.ZERO_SHOT else PromptStyle.ZERO_SHOT
        return (style, other)
    return (style,)


def _problems(ctx: StageContext) -> list[Problem]:
    return [problem for split in ctx.config.evaluate.splits for problem in problems_measured(ctx, split)]


def _samplers(ctx: StageContext, problems: list[Problem]) -> Iterator[Sampler]:
    config = ctx.config.evaluate
    for style in styles_of(ctx):
        yield sample_greedily(ctx, problems, style, part=f"greedy-{style}")
    drawn = config.pass_at_k
    if drawn is not None:
        render = functools.partial(ctx.prompt_book().evaluation, style=config.style)
        asks = asks_for(problems, render, drawn.samples, Purpose.SAMPLES)
        sampling = sampling_of(ctx.config, drawn, config.max_tokens)
        yield sample(ctx, asks, len(problems) * drawn.samples, Origin.EVALUATED, sampling, part="samples")
