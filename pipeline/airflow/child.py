"""`star` as a child process of a task: its lines in the task's log, and nothing of it left behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline.gpus import pinned
from pipeline.hostile import clean
from pipeline.paths import Home
from pipeline.process import LastLines, run_child

_ORCHESTRATOR = ("AIRFLOW__", "_AIRFLOW", "AIRFLOW_CONN_", "AIRFLOW_VAR_")
_CHECK_PARENT_S = 1.0


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """How a child ended: exit code (negative: by that signal), its JSON document, its last error lines."""

    exit_code: int
    document: dict[str, Any]
    last_lines: str


def run_star(
    arguments: Sequence[str],
    *,
    say: Callable[[str], None],
    grace_s: float,
    timeout_s: float | None = None,
    devices: str | None = None,
) -> ChildOutcome:
    """Run `star ARGUMENTS` on the home of this process; `say` gets each line, cleaned, as it is written.

    With `devices` (`2`, or `0,1`) the child sees these GPUs alone.
    The last line of standard output that is a JSON object is the outcome's document. The whole process tree
    is ended before this returns or raises (`pipeline.process.run_child`), and also when the process that
    started this one is gone: Airflow's supervisor, without which nobody would know of a result.
    """
    last = LastLines()
    documents: list[dict[str, Any]] = [{}]

    def on_line(line: str) -> None:
        document = _document(line)
        if document is None:
            say(clean(line))
        else:
            documents.append(document)

    def on_error_line(line: str) -> None:
        last(clean(line))
        say(clean(line))

    with _ended_with_parent():
        code = run_child(
            [sys.executable, "-m", "pipeline", "--home", str(Home.from_environment().root), *arguments],
            on_line=on_line,
            on_error_line=on_error_line,
            env=child_environment() if devices is None else pinned(child_environment(), devices),
            timeout_s=timeout_s,
            grace_s=grace_s,
        )
    return ChildOutcome(code, documents[-1], last.text)


def child_environment() -> dict[str, str]:
    """Ours without what is Airflow's (its database's password is none of a stage's business)."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_ORCHESTRATOR)}
    # The code that the DAG was read from, wherever Airflow was started.
    package = str(Path(pipeline.__file__).resolve().parents[1])
    env["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [env.get("PYTHONPATH")])])
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _document(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def _ended_with_parent() -> Iterator[None]:
    """Within the block, the death of our parent process is a SIGTERM to us."""
    parent, done = os.getppid(), threading.Event()

    def watch() -> None:
        while not done.wait(_CHECK_PARENT_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, name="parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
