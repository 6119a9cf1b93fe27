"""Grade stored attempts again with another grader, without generating anything again.

The new verdicts are stored beside the old ones under the new grader's digest and decide nothing. What comes
back says which verdicts flip, and what each round's training set would have been.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.graders import GraderConfig
from pipeline.config.of_source import deciding_graders
from pipeline.counted import counted
from pipeline.errors import ConfigError, NotReadyError
from pipeline.graders import grader_digest
from pipeline.identity import digest, rows_digest
from pipeline.records import Outcome, Purpose
from pipeline.runner import Session, versions
from pipeline.selection import select
from pipeline.stages.base import VOLATILE
from pipeline.stages.grading import verdict_rows
from pipeline.stages.select import attempt_of
from pipeline.store import RunSummary, StageKey, write_rows


@dataclass(frozen=True, slots=True)
class Flip:
    """An attempt whose outcome the new grader changes, with both reasons."""

    rationale_id: str
    problem_id: str
    origin: str
    before: str
    before_reason: str
    after: str
    after_reason: str
    gold: str
    text: str


@dataclass(frozen=True, slots=True)
class RoundRegraded:
    """One round under the new grader.

    `gained` and `lost` count the rows that its training set would have had besides, or not have had; both are
    0 where the round trains nothing.
    """

    round: int
    attempts: int
    outcomes: Mapping[str, int]
    flips: Sequence[Flip]
    kept: int
    gained: int
    lost: int


def regrade(session: Session, grader: GraderConfig, round_: int | None = None) -> Iterator[RoundRegraded]:
    """Grade every current attempt of the experiment (or of one round) and store the verdicts.

    Raises ConfigError where the grader is the one that decided, NotReadyError where there is no such round.
    Doing it again replaces the verdicts of the same grader.
    """
    decisive = session.config.verify.grader
    if grader_digest(grader) in {grader_digest(each) for each in deciding_graders(session.config)}:
        raise ConfigError(
            f"the grader of experiment {session.experiment} and the one given are the same (digest "
            f"{grader_digest(grader)[:12]}): every verdict would be as it is; change the grader file"
        )
    if grader.name == decisive.name:
        grader = grader.model_copy(update={"name": f"{grader.name[:20]}-{grader_digest(grader)[:8]}"})
    rounds = [row["round"] for row in session.store.rows("rounds", experiment=session.experiment)]
    wanted = rounds if round_ is None else [round_]
    if not set(wanted) <= set(rounds) or not wanted:
        raise NotReadyError(
            f"experiment {session.experiment} has no round {round_}; it has {rounds or 'none'}; "
            f"run: star run {session.experiment}"
        )
    with session.store.lease(session.experiment, "star regrade"):
        for each in wanted:
            yield _regrade_round(session, grader, each)


def _regrade_round(session: Session, grader: GraderConfig, round_: int) -> RoundRegraded:
    attempts = session.store.rows("attempts_to_regrade", experiment=session.experiment, round=round_)
    workers = session.config.verify.workers
    with session.progress.task(f"round {round_} regrade", len(attempts), "attempts") as bar:
        verdicts = []
        for verdict in verdict_rows(grader, attempts, workers=workers, decides=False):
            verdicts.append(verdict)
            bar.advance()
    _store(session, grader, round_, verdicts)
    pairs = list(zip(attempts, verdicts, strict=True))
    kept, gained, lost = _training_set(session, round_, pairs)
    return RoundRegraded(
        round=round_,
        attempts=len(attempts),
        outcomes=Counter(str(verdict["outcome"]) for verdict in verdicts),
        flips=[
            _flip(attempt, verdict) for attempt, verdict in pairs if attempt["outcome"] != verdict["outcome"]
        ],
        kept=kept,
        gained=gained,
        lost=lost,
    )


def _store(
    session: Session, grader: GraderConfig, round_: int, verdicts: Sequence[Mapping[str, Any]]
) -> None:
    """Commit the verdicts as a stage of their own, so that they are marked and replaced as any rows are."""
    key = StageKey(session.experiment, round_, f"regrade-{grader_digest(grader)[:12]}")
    inputs = digest([grader_digest(grader), sorted(verdict["rationale_id"] for verdict in verdicts)])
    folder = session.home.stage(key.experiment, key.round, key.stage) / inputs[:12]
    path = folder / "verdicts.parquet"
    constants = {"experiment": key.experiment, "round": key.round, "stage": key.stage, "shard": 0}
    session.store.begin(
        key,
        shard=0,
        shards=1,
        input_digest=inputs,
        host=socket.gethostname(),
        device="cpu",
        versions=versions(),
        force=True,
    )
    write_rows("verdicts", path, verdicts, constants)
    session.store.commit(
        key,
        shard=0,
        shards=1,
        input_digest=inputs,
        files={"verdicts": path},
        output_digest=rows_digest(verdicts, VOLATILE),
        summary=RunSummary(
            rows_in=len(verdicts), rows_out=len(verdicts), text=counted(len(verdicts), "verdict")
        ),
    )


def _training_set(
    session: Session, round_: int, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> tuple[int, int, int]:
    """Rows that selection would keep of the round under the new verdicts; how many are new, how many gone."""
    trained = [(attempt, verdict) for attempt, verdict in pairs if attempt["purpose"] == Purpose.TRAINING]
    regraded = [
        attempt_of(
            {
                **attempt,
                **{name: verdict[name] for name in ("outcome", "score", "reason", "answer", "subscores")},
            }
        )
        for attempt, verdict in trained
    ]
    config = session.config
    selection = select(regraded, config.select, seed=config.seed, round_=round_)
    now = {attempt.rationale_id for attempt in selection.kept}
    rows = session.store.rows("kept_in_round", experiment=session.experiment, round=round_)
    before = {row["rationale_id"] for row in rows}
    return len(now), len(now - before), len(before - now)


def _flip(attempt: Mapping[str, Any], verdict: Mapping[str, Any]) -> Flip:
    return Flip(
        rationale_id=attempt["rationale_id"],
        problem_id=attempt["problem_id"],
        origin=attempt["origin"],
        before=str(Outcome(attempt["outcome"])),
        before_reason=attempt["reason"],
        after=str(verdict["outcome"]),
        after_reason=verdict["reason"],
        gold=attempt["gold"],
        text=attempt["text"],
    )
