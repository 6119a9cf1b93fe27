"""Model n-1 writes rationales for the train problems drawn for this round; round 1 takes in imported ones."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pipeline.config import ExperimentConfig
from pipeline.config.of_source import grader_of, shares
from pipeline.counted import counted
from pipeline.graders import extract_answer
from pipeline.identity import norm_hash, rationale_id, seed_of, text_hash
from pipeline.problems import load_problems
from pipeline.prompts import PromptBook, cut_text
from pipeline.records import FinishReason, Origin, Problem, PromptStyle, Purpose
from pipeline.sampling import asks_for
from pipeline.stages.base import StageContext, StageResult, problem_of
from pipeline.stages.hinting import tail_of_generate
from pipeline.stages.shares import DrawableT, parts_by_share
from pipeline.stages.waves import sample_in_waves
from pipeline.stages.writing import attempts_result, sample, sampling_of

IMPORTED = "imported"
"""Stands for the engine and the model of a rationale that was written elsewhere."""


def run(ctx: StageContext) -> StageResult:
    config = ctx.config.generate
    mine = drawn(ctx)
    book = ctx.prompt_book()
    if config.source != "model":
        gold = [(problem, 0, text) for problem in mine if (text := _gold_text(ctx, problem))]
        subject = f"{counted(len(mine), 'problem')}, {config.source} in place of samples"
        return attempts_result(ctx, [], subject, *_imported_rows(ctx, book, gold))
    prompt = functools.partial(book.generation, few_shot=config.few_shot_in(ctx.round))
    scores = _scores(ctx)
    sampling = sampling_of(ctx.config, config)
    sampling = replace(sampling, temperature=next(iter(scores), sampling.temperature))
    chosen = f" at temperature {sampling.temperature}, the best of {len(scores)}" if scores else ""
    detail: dict[str, Any] = {"temperature_scores": scores} if scores else {}
    imported = list(_imported(ctx)) if ctx.round == 1 and ctx.shard == 0 else []
    further = _imported_rows(ctx, book, imported)
    if config.adaptive is not None:
        waves = sample_in_waves(ctx, list(mine), prompt, sampling, config.adaptive)
        detail.update(waves.detail)
        return attempts_result(ctx, waves.samplers, waves.subject + chosen, *further, waves.tables, detail)
    asks = asks_for(mine, prompt, config.samples, Purpose.TRAINING)
    total = len(mine) * config.samples
    tail = tail_of_generate(ctx, book)
    samplers = [sample(ctx, asks, total, Origin.GENERATED, sampling, tail=tail)] if total else []
    subject = f"{counted(len(mine), 'problem')} x {config.samples}{chosen}"
    return attempts_result(ctx, samplers, subject, *further, detail=detail)


def _scores(ctx: StageContext) -> dict[float, float]:
    """What each temperature that this round chose from scored, the best first; empty: none was chosen."""
    if ctx.config.generate.temperatures is None:
        return {}
    rows = ctx.store.rows("reports/temperatures_by_round", experiment=ctx.experiment)
    ranked = sorted(rows, key=lambda row: not row["chosen"])
    return {row["temperature"]: row["score"] for row in ranked if row["round"] == ctx.round}


class _Line(NamedTuple):
    """A problem as far as a draw goes by it: a million of them stay in memory."""

    problem_id: str
    difficulty: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A shard's problems in the order of their ids, read from the store whenever they are gone through."""

    ctx: StageContext
    ids: frozenset[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Problem]:
        rows = self.ctx.store.stream("train_problems", experiment=self.ctx.experiment, round=self.ctx.round)
        return (problem_of(row) for row in rows if row["problem_id"] in self.ids)


def drawn(ctx: StageContext) -> Drawn:
    """The shard's part of the round's train problems."""
    rows = ctx.store.stream("train_problems_to_draw", experiment=ctx.experiment, round=ctx.round)
    chosen = draw([_Line(**row) for row in rows], ctx.config, ctx.round)
    return Drawn(ctx, frozenset(line.problem_id for index, line in enumerate(chosen) if ctx.in_shard(index)))


def draw(problems: Sequence[DrawableT], config: ExperimentConfig, round_: int) -> Sequence[DrawableT]:
    """All of them, or as many as the config asks for, drawn by seed; a larger draw has those of a smaller."""
    wanted, of_sources = config.generate.problems, shares(config)
    if wanted is None or (wanted >= len(problems) and not of_sources):
        return problems
    ranked = sorted(problems, key=lambda problem: seed_of(config.seed, round_, "draw", problem.problem_id, 0))
    chosen: list[DrawableT] = []
    for part, number in parts_by_share(ranked, wanted, of_sources):
        chosen += _balanced(part, number) if config.generate.balanced else part[:number]
    return sorted(chosen, key=lambda problem: problem.problem_id)


def _balanced(ranked: Sequence[DrawableT], wanted: int) -> Sequence[DrawableT]:
    """The first `wanted` when each difficulty gives one problem in turn, until it has no more."""
    places: Counter[str | None] = Counter()
    turns: list[int] = []
    for problem in ranked:
        turns.append(places[problem.difficulty])
        places[problem.difficulty] += 1
    order = sorted(range(len(ranked)), key=turns.__getitem__)
    return [ranked[index] for index in order[:wanted]]


def _gold_text(ctx: StageContext, problem: Problem) -> str:
    """What stands for an attempt in a control arm; empty where the problem has no solution."""
    config = ctx.config.generate
    if config.source == "gold_solutions":
        return (problem.solution or "").strip()
    return (config.answer_text or "").replace("{answer}", problem.answer)


def _imported(ctx: StageContext) -> Iterator[tuple[Problem, int, str]]:
    """Problem, sample and text of what was written elsewhere."""
    if ctx.config.problems.imported is None:
        return
    problems = {
        row["problem_id"]: problem_of(row)
        for row in ctx.store.rows("train_problems", experiment=ctx.experiment, round=ctx.round)
    }
    samples: dict[str, int] = {}
    for problem_id, text in load_problems(ctx.config).imported:
        problem = problems[problem_id]
        number = samples.get(problem_id, 0)
        samples[problem_id] = number + 1
        yield problem, number, text


def _imported_rows(
    ctx: StageContext, book: PromptBook, texts: Sequence[tuple[Problem, int, str]]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows of the tables rationales and prompts for texts written elsewhere, as if they answered the
    canonical prompt."""
    rows: list[dict[str, Any]] = []
    prompts: dict[str, str] = {}
    for problem, number, text in texts:
        prompt = book.canonical(problem).text
        prompts[text_hash(prompt)] = prompt
        rows.append(_imported_row(ctx, problem, number, text, text_hash(prompt)))
    return rows, [{"prompt_hash": name, "text": text} for name, text in prompts.items()]


def _imported_row(
    ctx: StageContext, problem: Problem, number: int, text: str, prompt_hash: str
) -> dict[str, Any]:
    config = ctx.config
    cut, finish = cut_text(text, FinishReason.EOS, config.generate.stop, config.prompts.answer_line)
    name = rationale_id(
        experiment=ctx.experiment,
        round_=ctx.round,
        origin=Origin.IMPORTED,
        problem_id=problem.problem_id,
        sample=number,
        prompt_hash=prompt_hash,
        sampling={"text": text_hash(text)},
        seed=0,
        model_hash=IMPORTED,
    )
    return {
        "rationale_id": name,
        "experiment": ctx.experiment,
        "round": ctx.round,
        "origin": Origin.IMPORTED,
        "purpose": Purpose.TRAINING,
        "problem_id": problem.problem_id,
        "split": problem.split,
        "difficulty": problem.difficulty,
        "sample": number,
        "prompt_style": PromptStyle.ZERO_SHOT,
        "text": cut,
        "answer": extract_answer(grader_of(config, problem.source), cut, problem.choices),
        "hint": None,
        "finish_reason": finish,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "text_chars": len(cut),
        "norm_hash": norm_hash(cut),
        "mean_logprob": None,
        "sampling": {},
        "seed": 0,
        "engine": IMPORTED,
        "model_hash": IMPORTED,
        "prompt_hash": prompt_hash,
        "seconds": 0.0,
    }
