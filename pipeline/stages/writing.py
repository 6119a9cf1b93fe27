"""What generate, rationalize and evaluate share: run the sampler, write its tables, say what came of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from pipeline.config import ExperimentConfig
from pipeline.config.graders import GraderConfig
from pipeline.config.of_source import own_graders
from pipeline.records import Origin, Sampling
from pipeline.sampling import Ask, Job, Sampled, Sampler
from pipeline.stages.base import Model, Output, StageContext, StageResult, result
from pipeline.stages.beside import Tail, beside


class _Drawn(Protocol):
    """The fields that the sections generate, rationalize and pass_at_k share."""

    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def top_k(self) -> int: ...


def sampling_of(config: ExperimentConfig, section: _Drawn, max_tokens: int | None = None) -> Sampling:
    """The sampling of a section; stops, and length unless `max_tokens` is given, are those of generate."""
    return Sampling(
        max_tokens=max_tokens or config.generate.max_tokens,
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        stop=config.generate.stop,
    )


def greedy(config: ExperimentConfig, max_tokens: int | None = None) -> Sampling:
    """Greedy sampling with the stops of generate."""
    return Sampling(
        max_tokens=max_tokens or config.generate.max_tokens, temperature=0.0, stop=config.generate.stop
    )


def job_of(
    ctx: StageContext,
    origin: Origin,
    sampling: Sampling,
    grader: GraderConfig | None = None,
    answer_line: str | None = None,
) -> Job:
    """What all asks of one origin share.

    Answers are found as `grader` finds them, and texts end after the first `answer_line`: by default those of
    the experiment and its sources.
    """
    own = own_graders(ctx.config) if grader is None else {}
    grader, answer_line = grader or ctx.config.verify.grader, answer_line or ctx.config.prompts.answer_line
    return Job(ctx.experiment, ctx.round, origin, ctx.config.seed, sampling, grader, answer_line, own)


def sample(
    ctx: StageContext,
    asks: Iterable[Ask],
    total: int,
    origin: Origin,
    sampling: Sampling,
    *,
    model: Model | None = None,
    part: str = "",
    ahead: Sequence[Path] = (),
    tail: Tail | None = None,
    grader: GraderConfig | None = None,
    answer_line: str | None = None,
) -> Sampler:
    """Run the asks on `model` (by default the stage's); `part` keeps several samplings of a stage apart.

    `ahead`: part files with completions that were written before the stage began. `tail`: what a fused stage
    has the engine write when little else is left. Time spent on another stage's completions is counted there.
    `grader` and `answer_line` as in `job_of`.
    """
    writer = model or ctx.model
    assert writer is not None, "the runner gives every writing stage its model"
    engine = ctx.engines.get(ctx.config, writer, ctx.progress)
    folder = ctx.folder / part if part else ctx.folder
    with beside(ctx, engine, tail) as companion:
        job = job_of(ctx, origin, sampling, grader, answer_line)
        sampler = Sampler(job, engine, folder, ctx.progress, ahead=ahead, companion=companion)
        sampled = sampler.run(asks, total)
    ctx.started += sampled.beside_seconds - sampled.ahead_seconds
    return sampler


def attempts_result(
    ctx: StageContext,
    samplers: Iterable[Sampler],
    subject: str,
    further: Sequence[Mapping[str, Any]] = (),
    prompts: Sequence[Mapping[str, str]] = (),
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType({}),
    detail: Mapping[str, Any] = MappingProxyType({}),
) -> StageResult:
    """The stage's result from finished samplers, and from `further` rows, and their `prompts`, that no engine
    wrote. `tables` are rows beside the attempts, `detail` joins what is recorded of the stage."""
    done = list(samplers)
    output = Output(ctx)
    output.write(
        "rationales", itertools.chain((row for sampler in done for row in sampler.attempts()), further)
    )
    written = {row["prompt_hash"] for row in prompts}
    sent = (row for sampler in done for row in sampler.prompts() if row["prompt_hash"] not in written)
    output.write("prompts", itertools.chain(sent, prompts))
    output.write("rejections", (asdict(rejection) for sampler in done for rejection in sampler.rejections()))
    for table, rows in tables.items():
        output.write(table, rows)
    counts = [sampler.sampled for sampler in done]
    text = _sentence(subject, counts) + (f"; {len(further):,} imported" if further else "")
    return result(
        ctx,
        output,
        text,
        rows_in=sum(count.asked for count in counts) + len(further),
        rows_out=sum(count.attempts for count in counts) + len(further),
        tokens=sum(count.completion_tokens for count in counts),
        device=done[0].engine.device if done else None,
        versions=done[0].engine.versions if done else {},
        detail={**_detail(counts), **detail},
        engine_seconds=sum(count.engine_seconds for count in counts),
        engine_tokens=sum(count.engine_tokens for count in counts),
        peak_gpu_memory=done[0].engine.peak_gpu_memory() if done else None,
    )


def _detail(counts: Iterable[Sampled]) -> dict[str, object]:
    counts = list(counts)
    finish: dict[str, int] = {}
    for count in counts:
        for reason, number in count.finish.items():
            finish[str(reason)] = finish.get(str(reason), 0) + number
    return {
        "asked": sum(count.asked for count in counts),
        "resumed": sum(count.resumed for count in counts),
        "prompt_tokens": sum(count.prompt_tokens for count in counts),
        "completion_tokens": sum(count.completion_tokens for count in counts),
        "finish": finish,
    }


def _sentence(subject: str, counts: Iterable[Sampled]) -> str:
    counts = list(counts)
    if not counts:
        return subject
    attempts = sum(count.attempts for count in counts)
    cut_off = sum(count.cut_off for count in counts)
    too_long = sum(count.prompt_too_long for count in counts)
    resumed = sum(count.resumed for count in counts)
    tokens = sum(count.completion_tokens for count in counts)
    text = f"{subject} = {attempts + too_long:,} asked: {attempts - cut_off:,} complete, {cut_off:,} cut off"
    text += f", {too_long:,} prompts too long" if too_long else ""
    text += f" ({resumed:,} were on disk)" if resumed else ""
    return f"{text}; {tokens:,} tokens"
