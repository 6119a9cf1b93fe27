"""Runs several experiments at once, each in a process of its own, and tells what they say line by line."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pipeline.errors import StarError, StoppedByGateError

_LAST_LINES = 15
_GRACE_S = 30.0
_ASK_AGAIN_S = 2.0
_ENDED = (0, StoppedByGateError.exit_code)
"""A gate of the config ends a run early; what it measured by then stands."""


@dataclass(slots=True)
class _Run:
    """One running process; what it said last is kept for an error message."""

    name: str
    process: subprocess.Popen[str]
    threads: list[threading.Thread]
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    is_result: bool
    text: str | None


def run_side_by_side(
    commands: Mapping[str, Sequence[str]],
    *,
    at_once: int,
    on_result: Callable[[str, str], None],
    on_note: Callable[[str, str], None],
) -> None:
    """Run `star ARGUMENTS` for each name, at most `at_once` at a time, in the order given.

    `on_result` gets each line of a run's standard output with its name, `on_note` each of its standard error.
    Raises StarError when one fails; the others are ended first, as they are on any exception here.
    """
    waiting = list(commands.items())
    lines: queue.SimpleQueue[_Line] = queue.SimpleQueue()
    running: dict[str, _Run] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                name, arguments = waiting.pop(0)
                running[name] = _start(name, arguments, lines)
            line = lines.get()
            run = running[line.name]
            if line.text is None:
                _finish(running, run)
            elif line.is_result:
                on_result(line.name, line.text)
            else:
                run.said.append(line.text)
                on_note(line.name, line.text)
    finally:
        _end(list(running.values()))


def _start(name: str, arguments: Sequence[str], lines: queue.SimpleQueue[_Line]) -> _Run:
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *([inherited] if inherited else [])])},
    )
    assert process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=_relay, args=(name, pipe, pipe is process.stdout, lines), daemon=True)
        for pipe in (process.stdout, process.stderr)
    ]
    threads.append(threading.Thread(target=_tell_end, args=(name, process, threads[:], lines), daemon=True))
    for thread in threads:
        thread.start()
    return _Run(name, process, threads)


def _relay(name: str, pipe: IO[str], is_result: bool, lines: queue.SimpleQueue[_Line]) -> None:
    for text in pipe:
        lines.put(_Line(name, is_result, text.rstrip("\n")))


def _tell_end(
    name: str,
    process: subprocess.Popen[str],
    relays: Sequence[threading.Thread],
    lines: queue.SimpleQueue[_Line],
) -> None:
    for thread in relays:
        thread.join()
    process.wait()
    lines.put(_Line(name, True, None))


def _finish(running: dict[str, _Run], run: _Run) -> None:
    del running[run.name]
    if run.process.returncode not in _ENDED:
        said = "\n".join(f"  {line}" for line in run.said)
        raise StarError(f"{run.name} ended with exit code {run.process.returncode}; it said last:\n{said}")


def _end(runs: Sequence[_Run]) -> None:
    """Ask what still runs to end, again and again (Python can drop a request while importing), then kill."""
    deadline = time.monotonic() + _GRACE_S
    left = [run.process for run in runs if run.process.poll() is None]
    while left and time.monotonic() < deadline:
        for process in left:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            left[0].wait(_ASK_AGAIN_S)
        left = [process for process in left if process.poll() is None]
    for process in left:
        process.kill()
        process.wait()
