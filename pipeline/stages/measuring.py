"""Greedy answers of a model to held-out problems: of every round, and of each variant of a sweep."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pipeline.identity import seed_of
from pipeline.measures import Share, wilson
from pipeline.records import Origin, Outcome, Problem, PromptStyle, Purpose, Split
from pipeline.sampling import Sampler, asks_for
from pipeline.stages.base import Model, StageContext, problem_of
from pipeline.stages.grading import verdict_rows, with_problem
from pipeline.stages.writing import greedy, sample


def problems_measured(ctx: StageContext, split: Split) -> list[Problem]:
    """The problems of a split, or as many of them as `evaluate.limit` allows, drawn by seed."""
    rows = ctx.store.rows("problems_of_split", experiment=ctx.experiment, split=split)
    problems = [problem_of(row) for row in rows]
    limit = ctx.config.evaluate.limit
    if limit is None or limit >= len(problems):
        return problems
    seed = ctx.config.seed
    ranked = sorted(problems, key=lambda problem: seed_of(seed, 0, "evaluate", problem.problem_id, 0))
    return sorted(ranked[:limit], key=lambda problem: problem.problem_id)


def sample_greedily(
    ctx: StageContext,
    problems: Sequence[Problem],
    style: PromptStyle,
    *,
    model: Model | None = None,
    part: str,
) -> Sampler:
    """The greedy answers of `model` (by default the stage's) to the evaluation prompt in that style."""
    render = functools.partial(ctx.prompt_book().evaluation, style=style)
    asks = asks_for(problems, render, 1, Purpose.GREEDY)
    sampling = greedy(ctx.config, ctx.config.evaluate.max_tokens)
    return sample(ctx, asks, len(problems), Origin.EVALUATED, sampling, model=model, part=part)


def greedy_accuracy(ctx: StageContext, problems: Sequence[Problem], model: Model, part: str) -> Share:
    """How many of the problems `model` solves, by the grader that decides, with its interval.

    A problem whose prompt fills the context is not solved. Nothing of it goes into the tables.
    """
    sampler = sample_greedily(ctx, problems, ctx.config.evaluate.style, model=model, part=part)
    by_id = {problem.problem_id: problem for problem in problems}
    attempts = (with_problem(attempt, by_id[attempt["problem_id"]]) for attempt in sampler.attempts())
    config = ctx.config.verify
    verdicts = verdict_rows(config.grader, attempts, workers=config.workers, decides=True)
    correct = sum(verdict["outcome"] == Outcome.CORRECT for verdict in verdicts)
    return wilson(correct, len(problems), ctx.config.evaluate.confidence)
