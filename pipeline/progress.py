"""Progress of long work: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Protocol


class Task(Protocol):
    """One piece of long work."""

    def advance(self, done: int = 1, detail: str = "") -> None:
        """`done` more units are finished; `detail` is a short text shown beside the bar."""

    def resume(self, done: int) -> None:
        """`done` units were finished before this began: they count, and say nothing of its speed."""


class Progress(Protocol):
    """Where progress goes."""

    def note(self, text: str) -> None:
        """One line that stays."""

    def task(self, title: str, total: int | None, unit: str = "") -> AbstractContextManager[Task]:
        """A context manager giving the Task; `total` None where it is not known."""


class _LogTask:
    def __init__(self, log: LogProgress, title: str, total: int | None, unit: str) -> None:
        self._log, self._title, self._total, self._unit = log, title, total, unit
        self._done = self._before = 0
        self._started = self._said = time.monotonic()

    def advance(self, done: int = 1, detail: str = "") -> None:
        self._done += done
        now = time.monotonic()
        if now - self._said >= self._log.every_s:
            self._said = now
            self._log.note(self._line(now, detail))

    def resume(self, done: int) -> None:
        self._done += done
        self._before += done

    def _line(self, now: float, detail: str) -> str:
        spent = max(now - self._started, 1e-9)
        rate = (self._done - self._before) / spent
        of = f"/{self._total:,} ({self._done / self._total:.0%})" if self._total else ""
        left = ""
        if self._total and rate > 0:
            seconds = (self._total - self._done) / rate
            left = f", {seconds:.0f} s left, until {clock(seconds)}"
        unit = f" {self._unit}" if self._unit else ""
        return (
            f"{self._title}: {self._done:,}{of}{unit}, {rate:,.1f}/s{left}{', ' + detail if detail else ''}"
        )


class LogProgress:
    """Plain lines, at most one every `every_s` seconds a task: for logs, pipes and Airflow."""

    def __init__(self, stream: IO[str] | None = None, every_s: float = 10.0) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self.every_s = every_s

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "") -> Iterator[Task]:
        yield _LogTask(self, title, total, unit)


class _RichTask:
    def __init__(self, bar: Any, task_id: Any) -> None:
        self._bar, self._task_id = bar, task_id

    def advance(self, done: int = 1, detail: str = "") -> None:
        self._bar.update(self._task_id, advance=done)
        left = self._bar.tasks[self._task_id].time_remaining
        end = "" if left is None else f"until {clock(left)}"
        self._bar.update(self._task_id, detail=", ".join(part for part in (end, detail) if part))

    def resume(self, done: int) -> None:
        self._bar.reset(self._task_id, completed=done, detail="")


class TerminalProgress:
    """A bar that disappears when its work is done; notes stay."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "") -> Iterator[Task]:
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=30),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn(unit, markup=False),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(compact=True),
            rich_progress.TextColumn("{task.fields[detail]}", markup=False),
        )
        with rich_progress.Progress(*columns, console=self._console, transient=True) as bar:
            yield _RichTask(bar, bar.add_task(title, total=total, detail=""))


def clock(seconds: float) -> str:
    """The time of day in `seconds` from now, `14:31 UTC`; with its date where that is not today's."""
    now = datetime.now(UTC)
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M} UTC"


def default_progress() -> Progress:
    """A bar where stderr is a terminal, lines elsewhere."""
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()
