"""General rows among a round's training rows, so that less is forgotten of what the base can do besides."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.config.experiment import ReplayConfig
from pipeline.engines.tokenizer import Tokenizer
from pipeline.identity import norm_hash, seed_of, text_hash
from pipeline.problems.decontamination import HeldOut
from pipeline.problems.replay import ReplayRow, read_replay
from pipeline.records import Message, Origin, Problem, RejectionReason, Split
from pipeline.stages.base import StageContext, problem_of
from pipeline.stages.tokens import IGNORED_LABEL, token_row


def replay_rows(ctx: StageContext, others: int) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Rows drawn by seed for this round beside `others` rows, and how many were passed over, by reason.

    As many as make `train.replay.share` of the whole; fewer where the file has no more that fit.
    """
    config = ctx.config.train.replay
    passed_over: Counter[str] = Counter()
    if config is None or not others:
        return [], passed_over
    wanted = replay_count(config, others)
    rows: list[dict[str, Any]] = []
    tokenizer, held_out = ctx.tokenizer(), _held_out(ctx)
    for drawn in _in_drawn_order(ctx, config):
        if len(rows) == wanted:
            break
        row = _training_row(ctx, drawn, tokenizer)
        reason = _unfit(drawn, row, held_out, ctx.config.train.max_length)
        if reason is None:
            rows.append(row)
        else:
            passed_over[reason] += 1
    if len(rows) < wanted:
        ctx.progress.note(f"replay: {config.path} has {len(rows):,} of {wanted:,} rows wanted")
    return rows, passed_over


def replay_count(config: ReplayConfig, others: int) -> int:
    """Rows that make the share: of r replayed among n others it is r / (n + r)."""
    share = Fraction(str(config.share))
    return math.floor(share * others / (1 - share))


def _in_drawn_order(ctx: StageContext, config: ReplayConfig) -> Sequence[ReplayRow]:
    rows = read_replay(config, Path(ctx.config.problems.data_dir or "."))
    return sorted(rows, key=lambda row: seed_of(ctx.config.seed, ctx.round, "replay", row.replay_id, 0))


def _held_out(ctx: StageContext) -> HeldOut:
    problems: Iterable[Problem] = (
        problem_of(row)
        for split in (Split.DEV, Split.EVAL, Split.FURTHER)
        for row in ctx.store.rows("problems_of_split", experiment=ctx.experiment, split=split)
    )
    return HeldOut(problems, ctx.config.problems.decontaminate)


def _training_row(ctx: StageContext, row: ReplayRow, tokenizer: Tokenizer) -> dict[str, Any]:
    prompt = row.prompt
    if not prompt:
        input_ids, labels = _whole_text(tokenizer, row.completion)
    else:
        if ctx.config.prompts.chat:
            prompt = tokenizer.render_chat([Message("user", prompt)])
        input_ids, labels = token_row(tokenizer, prompt, row.completion)
    return {
        "rationale_id": row.replay_id,
        "problem_id": row.replay_id,
        "origin": Origin.REPLAY,
        "from_round": ctx.round,
        "sample": 0,
        "grader_digest": None,
        "prompt": prompt,
        "prompt_hash": text_hash(prompt),
        "completion": row.completion,
        "norm_hash": norm_hash(row.completion),
        "tokens": len(input_ids),
        "input_ids": input_ids,
        "labels": labels,
    }


def _whole_text(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Ids and labels of a document: loss on all but the first token, which nothing predicts."""
    input_ids = [*tokenizer.encode_prompt(""), *tokenizer.encode_completion(text), tokenizer.eos_id]
    return input_ids, [IGNORED_LABEL, *input_ids[1:]]


def _unfit(row: ReplayRow, made: dict[str, Any], held_out: HeldOut, max_length: int) -> str | None:
    if made["tokens"] > max_length:
        return RejectionReason.ROW_TOO_LONG
    if made["labels"].count(made["input_ids"][-1]) != 1:
        return RejectionReason.END_TOKEN_INSIDE
    asked = (row.prompt, f"{row.prompt}\n{row.completion}")
    problems = (Problem(row.replay_id, Split.TRAIN, text, "") for text in asked if text)
    if any(held_out.rejection(problem) is not None for problem in problems):
        return RejectionReason.CONTAMINATED
    return None
