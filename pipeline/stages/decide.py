"""Whether another round follows. The reason is recorded, printed, and the same for the CLI and Airflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.counted import counted
from pipeline.measures import paired_difference
from pipeline.stages.base import Output, StageContext, StageResult, result
from pipeline.stages.retention import keep_checkpoints
from pipeline.stages.tracked import track_rounds

GO_ON, STOP = "continue", "stop"
GATE = "gate: "
"""How the reason begins where a quality gate of the config stopped the loop."""


def run(ctx: StageContext) -> StageResult:
    decision, reason = _decide(ctx)
    round_row = ctx.store.rows("round", experiment=ctx.experiment, round=ctx.round)[0]
    finished = {
        **round_row,
        "status": "done",
        "decision": decision,
        "reason": reason,
        "finished_at": datetime.now(UTC).replace(tzinfo=None),
    }
    ctx.store.put("rounds", [finished])
    removed = keep_checkpoints(ctx)
    pruned = f"; {counted(removed, 'old checkpoint')} removed" if removed else ""
    lost = track_rounds(ctx)
    untold = "".join(f"; {tracker}: {what}" for tracker, what in lost.items())
    return result(
        ctx,
        Output(ctx),
        f"{decision}: {reason}{pruned}{untold}",
        rows_in=0,
        rows_out=1,
        detail={"trackers": lost} if lost else {},
    )


def _decide(ctx: StageContext) -> tuple[str, str]:
    empty = _nothing_kept(ctx)
    stopped = _gates(ctx)
    if stopped:
        return STOP, f"{stopped}; {empty}" if empty else stopped
    if empty:
        return STOP, empty
    stopped = _patience(ctx)
    if stopped:
        return STOP, stopped
    if ctx.round >= ctx.rounds:
        return STOP, f"{_all_done(ctx.rounds)}{_gain(ctx)}"
    return GO_ON, f"{ctx.rounds - ctx.round} of {ctx.rounds} rounds left{_gain(ctx)}"


def _all_done(rounds: int) -> str:
    if rounds == 0:
        return "no round was asked for"
    return "the one round is done" if rounds == 1 else f"all {rounds} rounds are done"


def _nothing_kept(ctx: StageContext) -> str | None:
    """What to do where a round has no training row, and so no model."""
    if ctx.round == 0 or ctx.store.rows("checkpoint", experiment=ctx.experiment, round=ctx.round):
        return None
    counts = ctx.store.rows("gate_counts", experiment=ctx.experiment, round=ctx.round)[0]
    nothing = "nothing was kept in this round, so no model was trained"
    if counts["attempts"] and counts["ungraded"] == counts["attempts"]:
        return (
            f"{nothing}: the grader could judge none of {counted(counts['attempts'], 'attempt')}; see why "
            f"with `star show {ctx.experiment} --round {ctx.round} --outcome ungraded`, then correct "
            "verify.grader or the gold answers"
        )
    look = f"{nothing}; look at the attempts with `star show {ctx.experiment} --round {ctx.round}`"
    if counts["no_answer"] * 2 > counts["attempts"]:
        return (
            f"{look}: the grader found no answer in {counts['no_answer']:,} of "
            f"{counted(counts['attempts'], 'attempt')}. Where they end in one, correct verify.grader "
            "(`star grade --explain` says where it looks); where they do not, show the form in few-shot "
            "exemplars"
        )
    return (
        f"{look}, then try few-shot exemplars, easier problems, more samples, more tokens or a higher "
        "temperature"
    )


def _gates(ctx: StageContext) -> str | None:
    """A quality gate of the config that this round crossed."""
    if ctx.round == 0:
        return None
    counts = ctx.store.rows("gate_counts", experiment=ctx.experiment, round=ctx.round)[0]
    attempts, config = counts["attempts"], ctx.config.decide
    gates = (
        ("cut_off", "cut off", config.max_cut_off),
        ("ungraded", "ungraded", config.max_ungraded),
        ("disagreement", "judged otherwise by the second grader", config.max_disagreement),
    )
    for name, words, limit in gates:
        share = counts[name] / attempts if attempts else 0.0
        if share > limit:
            return f"{GATE}{share:.1%} of {attempts:,} attempts are {words}, decide.max_{name} is {limit:.1%}"
    return None


def _patience(ctx: StageContext) -> str | None:
    """The best dev accuracy has not risen by `min_gain` for `patience` rounds."""
    patience = ctx.config.decide.patience
    history = _accuracies(ctx, "dev")
    if patience is None or ctx.round < patience or not history:
        return None
    before = max((value for round_, value in history.items() if round_ <= ctx.round - patience), default=None)
    if before is None:
        return None
    since = max(value for round_, value in history.items() if round_ > ctx.round - patience)
    gain = since - before
    if gain > ctx.config.decide.min_gain or (
        ctx.config.decide.min_gain > 0 and gain >= ctx.config.decide.min_gain
    ):
        return None
    return (
        f"the best dev accuracy rose by {gain:+.1%} in the last {counted(patience, 'round')}, "
        f"decide.min_gain is {ctx.config.decide.min_gain:.1%}{_gain(ctx)}"
    )


def _accuracies(ctx: StageContext, split: str) -> Mapping[int, float]:
    """Accuracy by round; round 0 counts with the better of its prompt styles."""
    rows = ctx.store.rows("accuracies", experiment=ctx.experiment, split=split)
    best: dict[int, float] = {}
    for row in rows:
        if row["round"] <= ctx.round:
            best[row["round"]] = max(row["value"], best.get(row["round"], 0.0))
    return best


def _gain(ctx: StageContext) -> str:
    """`; dev +12.0% [+8.1%, +15.9%] against round 0`: paired on the same problems, the better style."""
    if ctx.round == 0:
        return ""
    parts: list[str] = []
    for split in ctx.config.evaluate.splits:
        now = _correct_by_problem(ctx, split, ctx.round)
        styles = _correct_by_problem(ctx, split, 0)
        if not now or not styles:
            continue
        current = next(iter(now.values()))
        base_style, base = max(styles.items(), key=lambda item: sum(item[1].values()))
        shared = sorted(set(current) & set(base))
        gain = paired_difference(
            [base[key] for key in shared], [current[key] for key in shared], ctx.config.evaluate.confidence
        )
        parts.append(
            f"{split} {gain.value:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}] against round 0 {base_style}"
        )
    return f"; {'; '.join(parts)}" if parts else ""


def _correct_by_problem(ctx: StageContext, split: str, round_: int) -> dict[str, dict[str, bool]]:
    """By prompt style: whether each problem was solved greedily in a round."""
    rows: Sequence[Mapping[str, Any]] = ctx.store.rows(
        "solved_greedily", experiment=ctx.experiment, round=round_, split=split
    )
    styles: dict[str, dict[str, bool]] = {}
    for row in rows:
        styles.setdefault(row["prompt_style"], {})[row["problem_id"]] = row["correct"]
    return styles
