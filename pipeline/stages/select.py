"""Attempts become training rows: the rules of `selection`, the canonical prompt, token ids and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config.of_source import deciding_graders, grader_of
from pipeline.counted import counted
from pipeline.engines.tokenizer import Tokenizer
from pipeline.graders import grader_digest
from pipeline.identity import digest, text_hash
from pipeline.records import Attempt, FinishReason, Origin, Outcome, Rejection, RejectionReason
from pipeline.selection import select
from pipeline.stages.base import Output, StageContext, StageResult, problem_of, result
from pipeline.stages.replay import replay_rows
from pipeline.stages.tokens import token_row


@dataclass(frozen=True, slots=True)
class Made:
    """Training rows of this round's attempts, of earlier rounds' and of general data; what was passed over of
    the latter, by reason."""

    fresh: Sequence[Mapping[str, Any]]
    reused: Sequence[Mapping[str, Any]]
    replayed: Sequence[Mapping[str, Any]]
    passed_over: Counter[str]


def run(ctx: StageContext) -> StageResult:
    attempts = [
        attempt_of(row)
        for row in ctx.store.stream(
            "attempts_to_select",
            experiment=ctx.experiment,
            round=ctx.round,
            grader_digests=[grader_digest(grader) for grader in deciding_graders(ctx.config)],
        )
    ]
    selection = select(attempts, ctx.config.select, seed=ctx.config.seed, round_=ctx.round)
    rejections = list(selection.rejections)
    fresh = list(_rows(ctx, selection.kept, rejections))
    reused = list(_reused(ctx, fresh, rejections))
    replayed, passed_over = replay_rows(ctx, len(fresh) + len(reused))
    rows = sorted(
        fresh + reused + replayed,
        key=lambda row: (row["from_round"], row["problem_id"], row["origin"], row["sample"]),
    )
    training_set_digest = digest(sorted([row["problem_id"], row["input_ids"]] for row in rows))
    output = Output(ctx)
    output.write("training_rows", ({**row, "training_set_digest": training_set_digest} for row in rows))
    output.write("rejections", (asdict(rejection) for rejection in rejections))
    made = Made(fresh, reused, replayed, passed_over)
    return _result(ctx, output, len(attempts), made, rejections)


def attempt_of(row: Mapping[str, Any]) -> Attempt:
    """An Attempt from a row that joins a rationale with its verdict; `regenerates` becomes a sub-score."""
    regenerates = row.get("regenerates")
    tested = {} if regenerates is None else {"regenerates": float(regenerates)}
    return Attempt(
        rationale_id=row["rationale_id"],
        problem_id=row["problem_id"],
        round=row["round"],
        origin=Origin(row["origin"]),
        sample=row["sample"],
        text=row["text"],
        answer=row["answer"],
        hint=row["hint"],
        finish_reason=FinishReason(row["finish_reason"]),
        completion_tokens=row["completion_tokens"],
        norm_hash=row["norm_hash"],
        mean_logprob=row["mean_logprob"],
        outcome=Outcome(row["outcome"]),
        score=row["score"],
        reason=row["reason"],
        subscores={**(row["subscores"] or {}), **tested},
        flagged=row.get("flagged"),
    )


def _rows(
    ctx: StageContext, kept: Sequence[Attempt], rejections: list[Rejection]
) -> Iterator[dict[str, Any]]:
    """Training rows of this round's kept attempts; those that are too long are added to the rejections."""
    book, tokenizer = ctx.prompt_book(), ctx.tokenizer()
    wanted = {attempt.problem_id for attempt in kept}
    problems = {
        row["problem_id"]: problem_of(row)
        for row in ctx.store.stream("train_problems", experiment=ctx.experiment, round=ctx.round)
        if row["problem_id"] in wanted
    }
    for attempt in kept:
        problem = problems[attempt.problem_id]
        prompt = book.canonical(problem).text
        completion = book.completion(attempt.text)
        input_ids, labels = token_row(tokenizer, prompt, completion)
        rejection = _unfit(attempt, input_ids, labels, tokenizer, ctx.config.train.max_length)
        if rejection is not None:
            rejections.append(rejection)
            continue
        yield {
            "rationale_id": attempt.rationale_id,
            "problem_id": attempt.problem_id,
            "origin": attempt.origin,
            "from_round": attempt.round,
            "sample": attempt.sample,
            "grader_digest": grader_digest(grader_of(ctx.config, problem.source)),
            "prompt": prompt,
            "prompt_hash": text_hash(prompt),
            "completion": completion,
            "norm_hash": attempt.norm_hash,
            "tokens": len(input_ids),
            "input_ids": input_ids,
            "labels": labels,
        }


def _unfit(
    attempt: Attempt, input_ids: Sequence[int], labels: Sequence[int], tokenizer: Tokenizer, max_length: int
) -> Rejection | None:
    key = (attempt.problem_id, attempt.rationale_id)
    if len(input_ids) > max_length:
        detail = f"{len(input_ids)} tokens, train.max_length {max_length}"
        return Rejection(*key, RejectionReason.ROW_TOO_LONG, detail)
    ends = sum(1 for label in labels if label == tokenizer.end_id)
    if ends != 1:
        return Rejection(*key, RejectionReason.END_TOKEN_INSIDE, f"{ends} end tokens, expected 1")
    return None


def _reused(
    ctx: StageContext, fresh: Iterable[Mapping[str, Any]], rejections: list[Rejection]
) -> Iterator[dict[str, Any]]:
    """Rows kept in earlier rounds, as the config asks; what this round kept again word for word stays out."""
    reuse = ctx.config.select.reuse_rounds
    first = 1 if reuse == "all" else max(1, ctx.round - reuse)
    if first >= ctx.round:
        return
    known = {(row["problem_id"], row["norm_hash"]) for row in fresh}
    for row in ctx.store.stream(
        "rows_of_earlier_rounds", experiment=ctx.experiment, first=first, round=ctx.round
    ):
        flagged = row.pop("flagged")
        if flagged is not None:
            rejections.append(
                Rejection(row["problem_id"], row["rationale_id"], RejectionReason.EXCLUDED_BY_PERSON, flagged)
            )
            continue
        if (row["problem_id"], row["norm_hash"]) in known and not ctx.config.select.duplicates:
            detail = f"kept in round {row['from_round']}, and again in this round"
            rejections.append(
                Rejection(row["problem_id"], row["rationale_id"], RejectionReason.DUPLICATE, detail)
            )
            continue
        known.add((row["problem_id"], row["norm_hash"]))
        yield {**row, "origin": Origin(row["origin"])}


def _result(
    ctx: StageContext,
    output: Output,
    attempts: int,
    made: Made,
    rejections: Sequence[Rejection],
) -> StageResult:
    rows = [*made.fresh, *made.reused, *made.replayed]
    origins = Counter(str(row["origin"]) for row in rows)
    reasons = Counter(str(rejection.reason) for rejection in rejections)
    left_out = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    text = (
        f"{counted(attempts, 'attempt')}: {len(made.fresh):,} kept, {len(rejections):,} left out"
        f"{f' ({left_out})' if left_out else ''}; {counted(len(rows), 'training row')}"
        f" ({', '.join(f'{number:,} {origin}' for origin, number in origins.most_common()) or 'none'}"
        f"{f'; {len(made.reused):,} from earlier rounds' if made.reused else ''})"
    )
    if made.passed_over:
        passed = ", ".join(f"{number:,} {reason}" for reason, number in made.passed_over.most_common())
        text += f"; replay rows passed over: {passed}"
    detail = {
        "reasons": dict(reasons),
        "origins": dict(origins),
        "fresh": len(made.fresh),
        "reused": len(made.reused),
        **({"replay_passed_over": dict(made.passed_over)} if made.passed_over else {}),
    }
    tokens = sum(int(row["tokens"]) for row in rows)
    return result(ctx, output, text, rows_in=attempts, rows_out=len(rows), tokens=tokens, detail=detail)
