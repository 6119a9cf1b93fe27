"""The process behind the pool: reads chunks of jobs, answers each, can be killed at any moment.

Started as `python -m pipeline.graders.worker`. Lines of JSON: in come the grader's config and chunks of jobs;
out go `ready`, `start` (with the monotonic time, which all processes of a host share) and `done`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import IO, Any

from pipeline.graders.protocol import Grader, ungraded
from pipeline.records import Verdict

_PR_SET_PDEATHSIG = 1
_RECURSION = 4_000


class SoftLimit(BaseException):
    """The job's time is up. Not an Exception, so that libraries which catch those do not swallow it."""


def main() -> None:
    """Serve jobs until the input ends."""
    _die_with_parent()
    out = _own_output()
    hello = json.loads(sys.stdin.readline())
    _limit(hello["memory_mb"])
    # Imported after the limits are set, and only here: it brings SymPy with it.
    from pipeline.graders.registry import build_grader, parse_config

    grader = build_grader(parse_config(hello["config"]))
    warm = getattr(grader, "warm", None)
    if warm is not None:
        warm()
    _say(out, {"ready": True})
    for line in sys.stdin:
        for job in json.loads(line)["jobs"]:
            _say(out, {"start": time.monotonic(), "cpu": time.process_time()})
            started = time.perf_counter()
            verdict, spoiled = _answer(grader, job["payload"], job["limit_s"])
            verdict = dataclasses.replace(verdict, elapsed_ms=(time.perf_counter() - started) * 1e3)
            _say(out, {"done": _plain(verdict)})
            if spoiled:
                out.flush()
                os._exit(1)


def _answer(grader: Grader, payload: Mapping[str, Any], limit_s: float) -> tuple[Verdict, bool]:
    """The verdict, and whether this process should not be used again.

    The soft limit is processor time, so that a busy machine does not change verdicts; the pool's is wall
    time.
    """
    try:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            return grader.work(payload), False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except SoftLimit:
        return ungraded(None, "timeout", payload.get("answer")), False
    except MemoryError:
        return ungraded(None, "memory", payload.get("answer")), True
    except RecursionError:
        return ungraded(None, "too_deep", payload.get("answer")), False
    except Exception as error:  # any bug of a library on hostile input costs one item, and is counted by name
        return ungraded(None, f"error_{type(error).__name__.lower()}", payload.get("answer")), False


def _say(out: IO[str], message: Mapping[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "score": verdict.score,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "subscores": dict(verdict.subscores),
        "elapsed_ms": verdict.elapsed_ms,
    }


def _own_output() -> IO[str]:
    """The pipe to the pool under another number; what libraries print goes nowhere."""
    pipe = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    logging.disable(logging.CRITICAL)
    return os.fdopen(pipe, "w", encoding="utf-8")


def _limit(memory_mb: int) -> None:
    size = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(_RECURSION)
    signal.signal(signal.SIGPROF, _on_alarm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise SoftLimit


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
