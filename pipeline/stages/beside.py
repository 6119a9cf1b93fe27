"""Beside the engine: what it writes is graded at once, and its tail shows failed problems their answer.

All of it is written ahead of the stages that it belongs to: verdicts by what the grader saw, rationalizations
by their id. Those stages decide what they want, as they do alone, and find it there. So a guess that was
wrong, or what a kill lost, costs time and changes no row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from pipeline.config.of_source import own_graders
from pipeline.engines import Engine
from pipeline.graders import WINDOW, Grading, is_final, item_key, open_grading
from pipeline.records import Completion, FinishReason, Outcome, Problem, Request, Verdict
from pipeline.sampling import Ask, Companion, Job
from pipeline.stages.ahead import Ahead
from pipeline.stages.base import StageContext
from pipeline.stages.grading import grade_item
from pipeline.store.tables import storable

VERDICTS_A_FILE = 256
_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Tail:
    """What the engine writes when little else is left: asks for problems that have failed.

    A problem has when all its `samples` are graded and `failed` says so of its correct attempts and all of
    them; `keep_cut_off` says whether a text that was cut off may count as correct.
    """

    job: Job
    samples: int
    keep_cut_off: bool
    failed: Callable[[int, int], bool]
    asks: Callable[[Problem], Iterable[Ask]]


@dataclass(slots=True)
class _Tally:
    """The samples of a problem so far."""

    flushed: int = 0
    attempts: int = 0
    graded: int = 0
    correct: int = 0


@dataclass(frozen=True, slots=True)
class _Offered:
    """An attempt that is being graded; `problem` where its verdict helps to decide on the tail."""

    item_key: str
    problem: Problem | None
    cut_off: bool


def beside(ctx: StageContext, engine: Engine, tail: Tail | None) -> AbstractContextManager[Companion | None]:
    """The companion of a stage's sampling; none unless the stage is fused with those that follow.

    A judge with a model of its own is left to its stage: it would share the memory of the engine's device. So
    are sources with graders of their own.
    """
    if not ctx.fused or own_graders(ctx.config):
        return nullcontext()
    config = ctx.config.verify
    ahead = Ahead(ctx)
    known = ahead.verdicts(config.grader)
    grading = open_grading(config.grader, config.workers, known)
    if grading.opens_models:
        grading.close()
        return nullcontext()
    return Beside(engine, ahead, grading, known.keys(), tail if engine.mixes else None)


class Beside:
    """A companion of a sampler. Use as a context manager: what is being graded is waited for at the end."""

    def __init__(
        self, engine: Engine, ahead: Ahead, grading: Grading, known: Collection[str], tail: Tail | None
    ) -> None:
        self._engine, self._ahead, self._tail = engine, ahead, tail
        self._grading, self._known = grading, known
        self.fills = tail is not None
        self._written = ahead.written() if self.fills else frozenset()
        self._offered: dict[str, _Offered] = {}
        self._tallies: dict[str, _Tally] = {}
        self._failed: deque[Problem] = deque()
        self._asks: deque[Ask] = deque()
        self._asked: dict[str, Ask] = {}
        self._graded: list[tuple[str, Verdict]] = []

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._grading.pending:
                self._collect(_WAIT_S)
            self._flush_verdicts()
        finally:
            self._grading.close()

    def flushed(self, written: Iterable[tuple[Mapping[str, Any], Problem]]) -> None:
        """Have the rows graded, as far as the grader keeps up."""
        for row, problem in written:
            if self._tail is None:
                self._offer(row, problem, None)
                continue
            tally = self._tallies.setdefault(problem.problem_id, _Tally())
            tally.flushed += 1
            tally.attempts += row["finish_reason"] != FinishReason.PROMPT_TOO_LONG
            self._offer(row, problem, problem)
            self._decide(problem, tally)
        self._collect()

    def next(self) -> Request | None:
        """The next request of the tail that is not on disk."""
        self._collect()
        while self._tail is not None:
            while not self._asks and self._failed:
                self._asks.extend(self._tail.asks(self._failed.popleft()))
            if not self._asks:
                return None
            ask = self._asks.popleft()
            request = self._tail.job.request(ask, self._engine)
            if request.request_id not in self._written:
                self._asked[request.request_id] = ask
                self._tail.job.tell_script(self._engine, {request.request_id: ask})
                return replace(request, sampling=self._tail.job.sampling)
        return None

    @property
    def waiting(self) -> bool:
        """Whether a problem may still join the tail, or a request of it is not answered."""
        return self.fills and bool(self._asks or self._asked or self._failed or self._grading.pending)

    def answered(self, completions: Sequence[Completion]) -> None:
        """Flush what the tail's requests gave, and have it graded."""
        assert self._tail is not None, "only a tail makes requests"
        asks = [self._asked.pop(completion.request_id) for completion in completions]
        rows = [
            self._tail.job.row(completion, 0, ask, self._engine)
            for completion, ask in zip(completions, asks, strict=True)
        ]
        self._ahead.flush_completions(rows)
        for row, ask in zip(rows, asks, strict=True):
            self._offer(row, ask.problem, None)
        self._collect()

    def wait(self) -> None:
        """Until a verdict is there, or a moment has passed."""
        self._collect(_WAIT_S)

    def _offer(self, row: Mapping[str, Any], problem: Problem, tallied: Problem | None) -> None:
        """Have a row graded; where the grader is far behind, that is left to the stage that verifies."""
        if row["finish_reason"] == FinishReason.PROMPT_TOO_LONG:
            return
        if self._grading.pending >= WINDOW:
            self._collect()
            if self._grading.pending >= WINDOW:
                return
        cut_off = row["finish_reason"] == FinishReason.LENGTH
        item = grade_item(
            {
                **row,
                "text": storable(row["text"]),
                "question": problem.question,
                "gold": problem.answer,
                "choices": problem.choices,
                "solution": problem.solution,
                "meta": problem.meta,
            }
        )
        self._offered[item.key] = _Offered(item_key(item), tallied, cut_off)
        self._grading.offer(item)

    def _collect(self, wait_s: float = 0.0) -> None:
        for verdict in self._grading.take(wait_s):
            offered = self._offered.pop(verdict.key)
            if offered.item_key not in self._known and is_final(verdict):
                self._graded.append((offered.item_key, verdict))
            if offered.problem is not None and self._tail is not None:
                tally = self._tallies[offered.problem.problem_id]
                tally.graded += 1
                counts = self._tail.keep_cut_off or not offered.cut_off
                tally.correct += counts and verdict.outcome is Outcome.CORRECT
                self._decide(offered.problem, tally)
        if len(self._graded) >= VERDICTS_A_FILE:
            self._flush_verdicts()

    def _decide(self, problem: Problem, tally: _Tally) -> None:
        """Put the problem into the tail if it is known to have failed."""
        assert self._tail is not None, "without a tail nothing is tallied"
        if tally.flushed < self._tail.samples or tally.graded < tally.attempts:
            return
        del self._tallies[problem.problem_id]
        if tally.attempts and self._tail.failed(tally.correct, tally.attempts):
            self._failed.append(problem)

    def _flush_verdicts(self) -> None:
        if self._graded:
            self._ahead.flush_verdicts(self._grading.digest, self._graded)
            self._graded = []
