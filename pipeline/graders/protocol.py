"""What a grader is: a quick look in the calling process, and slow work in one that can be killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.records import GradeItem, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a worker process.

    `payload` is JSON; `cache_key` is equal for jobs that must have the same verdict (empty: never shared).
    `limit_s` is processor time from when a worker starts on the job, so that a busy machine does not change
    verdicts; half a second later the process is killed. `wall_s` ends what waits instead of working (0: ten
    times `limit_s`).
    """

    payload: Mapping[str, Any]
    cache_key: str
    answer: str | None
    limit_s: float
    wall_s: float = 0.0


class Grader(Protocol):
    """One kind of grader, made from its config."""

    backlog: int
    """How many jobs must wait before another worker process is worth its start."""
    memory_mb: int
    """Address space of a worker (RLIMIT_AS), in MiB."""
    environment: tuple[str, ...]
    """Names of environment variables that the workers may see beside the standard ones."""

    def inline(self, item: GradeItem) -> Verdict | Job:
        """The verdict where it is cheap and safe to reach at once, else the job that reaches it."""

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """The verdict of a job, in the worker. Its key is empty: the caller knows it."""


class DecidedInline:
    """Base of the graders that are cheap and safe enough to decide every item in the calling process."""

    backlog = 16
    memory_mb = 1024
    environment: tuple[str, ...] = ()

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """Never asked for, since `inline` gives no job."""
        raise TypeError(f"{type(self).__name__} decides in the calling process and takes no job: {payload!r}")


def graded(
    item: GradeItem | None, passed: bool, reason: str, answer: str | None = None, score: float | None = None
) -> Verdict:
    """A verdict of `correct` or `wrong`; the score is 1 or 0 unless told."""
    return Verdict(
        key=item.key if item is not None else "",
        outcome=Outcome.CORRECT if passed else Outcome.WRONG,
        score=(1.0 if passed else 0.0) if score is None else score,
        reason=reason,
        answer=answer,
    )


def ungraded(item: GradeItem | None, reason: str, answer: str | None = None) -> Verdict:
    """The grader could not tell: never counted as wrong."""
    return Verdict(
        key=item.key if item is not None else "",
        outcome=Outcome.UNGRADED,
        score=0.0,
        reason=reason,
        answer=answer,
    )
