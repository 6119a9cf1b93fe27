"""Run a part of the benchmark in a process of its own, so that its memory is its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of the clock, and of the processors: on a shared machine only those of the processors compare."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s | {self.cpu:.2f} s"


@contextmanager
def measured(times: list[Seconds]) -> Iterator[None]:
    """Add the seconds of the block, all threads of this process."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    times.append(Seconds(time.monotonic() - wall, time.process_time() - cpu))


def total(times: Iterable[Seconds]) -> Seconds:
    """All of them together."""
    times = list(times)
    return Seconds(sum(one.wall for one in times), sum(one.cpu for one in times))


def middle(times: Sequence[Seconds]) -> Seconds:
    """The medians."""
    return Seconds(median(one.wall for one in times), median(one.cpu for one in times))


def apart(part: Callable[..., Any], *arguments: Any) -> tuple[Any, Seconds, float]:
    """What `part` gives, its seconds, and the peak memory of its process in MiB."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    started = time.monotonic()
    process = context.Process(target=_answer, args=(its, part, arguments))
    process.start()
    its.close()
    try:
        result, seconds, memory = ours.recv()
    except EOFError:
        raise SystemExit(f"{part.__name__} failed after {time.monotonic() - started:.0f} s") from None
    process.join()
    return result, seconds, memory


def _answer(target: Connection, part: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    times: list[Seconds] = []
    with measured(times):
        result = part(*arguments)
    target.send((result, times[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
