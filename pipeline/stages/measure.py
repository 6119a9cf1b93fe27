"""Verdicts of the evaluated attempts, and from them the accuracies of the round with their intervals.

Further sets have graders of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.config.of_source import deciding_graders
from pipeline.graders import grader_digest
from pipeline.identity import combine_digests
from pipeline.measures import Share, majority, mean_interval, pass_at_k, wilson
from pipeline.records import FinishReason, Outcome, Purpose
from pipeline.stages.base import Output, StageContext, StageResult, result
from pipeline.stages.further import SPLIT, by_set, grade_further
from pipeline.stages.grading import Grades

Row = Mapping[str, Any]


def run(ctx: StageContext) -> StageResult:
    attempts = ctx.store.rows("evaluated_attempts", experiment=ctx.experiment, round=ctx.round)
    output = Output(ctx)
    own = [attempt for attempt in attempts if attempt["purpose"] != Purpose.FURTHER]
    grades = Grades(ctx, lambda: own)
    verdicts = list(grades.rows())
    further = dict(grade_further(ctx, attempts))
    output.write("verdicts", [*verdicts, *(verdict for of_set in further.values() for verdict in of_set)])
    graded = _joined(own, verdicts[: len(own)])
    evaluations = [*_evaluations(ctx, graded), *_further_evaluations(ctx, attempts, further)]
    output.write("evaluations", evaluations)
    text = f"{grades.sentence()}{_accuracy_sentence(evaluations)}"
    return result(ctx, output, text, rows_in=len(attempts), rows_out=len(evaluations), detail=grades.detail())


def _joined(attempts: Sequence[Row], verdicts: Sequence[Row]) -> list[dict[str, Any]]:
    by_id = {verdict["rationale_id"]: verdict for verdict in verdicts}
    found = ((attempt, by_id[attempt["rationale_id"]]) for attempt in attempts)
    return [{**one, "outcome": verdict["outcome"], "parsed": verdict["answer"]} for one, verdict in found]


def _evaluations(ctx: StageContext, graded: Sequence[Row]) -> Iterator[dict[str, Any]]:
    digests = [grader_digest(grader) for grader in deciding_graders(ctx.config)]
    digest = digests[0] if len(digests) == 1 else combine_digests(digests)
    confidence = ctx.config.evaluate.confidence
    yield from _greedy([row for row in graded if row["purpose"] == Purpose.GREEDY], digest, confidence)
    sampled = [row for row in graded if row["purpose"] == Purpose.SAMPLES]
    for (split, style, difficulty), rows in _groups(sampled):
        yield from _sampled(split, style, difficulty, rows, digest, confidence)


def _further_evaluations(
    ctx: StageContext, attempts: Sequence[Row], verdicts: Mapping[str, Sequence[Row]]
) -> Iterator[dict[str, Any]]:
    """As the greedy ones of the own task, with a split for each set."""
    for name, of_set in by_set(attempts).items():
        graded = [{**row, "split": SPLIT.format(name=name)} for row in _joined(of_set, verdicts[name])]
        digest = verdicts[name][0]["grader_digest"]
        yield from _greedy(graded, digest, ctx.config.evaluate.confidence)


def _greedy(graded: Sequence[Row], digest: str, confidence: float) -> Iterator[dict[str, Any]]:
    """Accuracy, and the shares that were cut off and ungraded."""
    for (split, style, difficulty), rows in _groups(graded):
        correct = _correct(rows)
        shared = {
            "split": split,
            "prompt_style": style,
            "difficulty": difficulty,
            "grader_digest": digest,
            "problems": len(rows),
            "samples": 1,
            "k": 1,
        }
        yield {
            **shared,
            "metric": "accuracy",
            "correct": correct,
            **_share(wilson(correct, len(rows), confidence)),
        }
        cut_off = sum(1 for row in rows if row["finish_reason"] == FinishReason.LENGTH)
        yield {
            **shared,
            "metric": "cut_off",
            "correct": cut_off,
            **_share(wilson(cut_off, len(rows), confidence)),
        }
        ungraded = sum(1 for row in rows if row["outcome"] == Outcome.UNGRADED)
        yield {
            **shared,
            "metric": "ungraded",
            "correct": ungraded,
            **_share(wilson(ungraded, len(rows), confidence)),
        }


def _sampled(
    split: str, style: str, difficulty: str | None, rows: Sequence[Row], digest: str, confidence: float
) -> Iterator[dict[str, Any]]:
    """pass@k for k = 1, 2, 4, ... and maj@k; a problem without a parsed answer stays in the denominator."""
    problems: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        problems[row["problem_id"]].append(row)
    samples = min(len(attempts) for attempts in problems.values())
    shared = {
        "split": split,
        "prompt_style": style,
        "difficulty": difficulty,
        "grader_digest": digest,
        "problems": len(problems),
        "samples": samples,
    }
    k = 1
    while k <= samples:
        values = [pass_at_k(len(attempts), _correct(attempts), k) for attempts in problems.values()]
        yield {
            **shared,
            "k": k,
            "metric": f"pass@{k}",
            "correct": sum(1 for value in values if value > 0),
            **_share(mean_interval(values, confidence)),
        }
        k *= 2
    solved = 0
    for attempts in problems.values():
        winner = majority([row["parsed"] for row in attempts])
        solved += winner is not None and attempts[winner]["outcome"] == Outcome.CORRECT
    yield {
        **shared,
        "k": samples,
        "metric": f"maj@{samples}",
        "correct": solved,
        **_share(wilson(solved, len(problems), confidence)),
    }


def _groups(rows: Iterable[Row]) -> Iterator[tuple[tuple[str, str, str | None], list[Row]]]:
    """By split and style, over all difficulties and then each of them."""
    groups: dict[tuple[str, str, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(str(row["split"]), str(row["prompt_style"]), None)].append(row)
        if row["difficulty"] is not None:
            groups[(str(row["split"]), str(row["prompt_style"]), str(row["difficulty"]))].append(row)
    yield from sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or ""))


def _correct(rows: Iterable[Row]) -> int:
    return sum(1 for row in rows if row["outcome"] == Outcome.CORRECT)


def _share(share: Share) -> dict[str, float]:
    return {"value": share.value, "low": share.low, "high": share.high}


def _accuracy_sentence(evaluations: Iterable[Row]) -> str:
    return "".join(
        f"; {row['split']} {row['prompt_style']} {row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
        for row in evaluations
        if row["metric"] == "accuracy" and row["difficulty"] is None
    )
