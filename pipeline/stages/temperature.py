"""Model n-1 answers a slice of dev at each candidate temperature; the best balance score writes the round.

The scores follow from the attempts and their verdicts: sql/reports/temperatures_by_round.sql says them, and
generate asks there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.experiment import TemperatureConfig
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.identity import seed_of
from pipeline.records import Origin, Problem, Purpose, Split
from pipeline.sampling import Ask, Sampler
from pipeline.stages.base import StageContext, StageResult, problem_of
from pipeline.stages.dev import check_dev_problems
from pipeline.stages.grading import verdict_rows, with_problem
from pipeline.stages.writing import attempts_result, sample, sampling_of


def run(ctx: StageContext) -> StageResult:
    config = ctx.config.generate.temperatures
    assert config is not None, "the stage is part of a round only where generate.temperatures is set"
    problems = _slice(ctx, config)
    samplers = [
        _sample(ctx, config, number, temperature, problems)
        for number, temperature in enumerate(config.candidates)
    ]
    verdicts = list(_verdicts(ctx, samplers, problems))
    if not verdicts:
        raise ConfigError(
            f"generate.temperatures chose {counted(len(problems), 'dev problem')} whose prompts all fill the "
            "context: nothing was written to choose by; use shorter prompts or exemplars"
        )
    names = ", ".join(str(temperature) for temperature in config.candidates)
    subject = f"{counted(len(problems), 'dev problem')} x {config.samples} at each of {names}"
    return attempts_result(ctx, samplers, subject, tables={"verdicts": verdicts})


def _slice(ctx: StageContext, config: TemperatureConfig) -> list[Problem]:
    """Dev problems drawn by seed, the same in every round."""
    rows = ctx.store.rows("problems_of_split", experiment=ctx.experiment, split=Split.DEV)
    check_dev_problems(ctx.config, len(rows))
    seed = ctx.config.seed
    ranked = sorted(rows, key=lambda row: seed_of(seed, 0, "temperature", row["problem_id"], 0))
    return sorted(map(problem_of, ranked[: config.problems]), key=lambda problem: problem.problem_id)


def _sample(
    ctx: StageContext, config: TemperatureConfig, number: int, temperature: float, problems: Sequence[Problem]
) -> Sampler:
    """One candidate. Samples are numbered through all candidates: each is an attempt of its own."""
    book, few_shot = ctx.prompt_book(), ctx.config.generate.few_shot_in(ctx.round)
    section = ctx.config.generate.model_copy(update={"temperature": temperature})
    first = number * config.samples
    asks = (
        Ask(problem, book.generation(problem, few_shot), index, Purpose.TEMPERATURE)
        for problem in problems
        for index in range(first, first + config.samples)
    )
    total = len(problems) * config.samples
    sampling = sampling_of(ctx.config, section)
    return sample(ctx, asks, total, Origin.EVALUATED, sampling, part=f"temperature-{number}")


def _verdicts(
    ctx: StageContext, samplers: Sequence[Sampler], problems: Sequence[Problem]
) -> Iterator[dict[str, Any]]:
    by_id = {problem.problem_id: problem for problem in problems}
    attempts = (
        with_problem(row, by_id[row["problem_id"]]) for sampler in samplers for row in sampler.attempts()
    )
    verify = ctx.config.verify
    return verdict_rows(verify.grader, attempts, workers=verify.workers, decides=True)
