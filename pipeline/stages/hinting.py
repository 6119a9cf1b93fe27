"""Which problems are shown their answer, and how: for rationalize, and for what is written ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.config.experiment import RationalizeConfig
from pipeline.prompts import PromptBook
from pipeline.records import Origin, Problem, Purpose, Sampling
from pipeline.sampling import Ask, asks_for
from pipeline.stages.base import StageContext
from pipeline.stages.beside import Tail
from pipeline.stages.writing import job_of, sampling_of


def has_failed(correct: int, attempts: int, config: RationalizeConfig) -> bool:
    """Whether a problem is rationalized, by its attempts that could be kept and all of them."""
    if config.when == "none_correct" or attempts == 0:
        return correct == 0
    return correct / attempts < config.below


def hinted_asks(problems: Iterable[Problem], book: PromptBook, config: RationalizeConfig) -> Iterator[Ask]:
    """The samples of each problem, its answer shown."""
    return asks_for(
        problems, lambda problem: book.hinted(problem, config.few_shot), config.samples, Purpose.TRAINING
    )


def hinted_sampling(ctx: StageContext) -> Sampling:
    """How rationalizations are drawn."""
    return sampling_of(ctx.config, ctx.config.rationalize, ctx.config.rationalize.max_tokens)


def tail_of_generate(ctx: StageContext, book: PromptBook) -> Tail | None:
    """Rationalizations that may be written while generate is; None where a problem's own samples do not say
    whether it is rationalized, or another model does it.
    """
    config = ctx.config.rationalize
    if not ctx.fused or not config.enabled or config.share < 1:
        return None
    if config.model == "base" and ctx.model != ctx.base:
        return None
    if ctx.round == 1 and ctx.config.problems.imported is not None:
        return None
    return Tail(
        job_of(ctx, Origin.RATIONALIZED, hinted_sampling(ctx)),
        ctx.config.generate.samples,
        ctx.config.select.cut_off,
        lambda correct, attempts: has_failed(correct, attempts, config),
        lambda problem: hinted_asks([problem], book, config),
    )
