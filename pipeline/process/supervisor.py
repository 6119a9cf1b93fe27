"""The small process between us and a child: it ends the child's whole tree, whatever ended us.

Run as a plain script (`python -I -S supervisor.py PARENT_PID GRACE_SECONDS COMMAND...`), standard library
only, so that it starts in milliseconds. Its standard input is a pipe that we hold open: end of file there, or
another parent than ours, means that we are gone, SIGKILL included, and everything below is killed at once.
SIGTERM to it means: end the tree politely (TERM, grace, KILL). It leaves as the command left: with its exit
code, or by its signal.

The supervisor leads a session of its own and, on Linux, adopts orphans (PR_SET_CHILD_SUBREAPER), so that even
a grandchild that made a session of its own is found. Were the supervisor itself killed, the command dies with
it (PR_SET_PDEATHSIG) and `run_child` kills what is left of the process group.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, argument: int) -> None:
    """Linux only; elsewhere the process group and the pipe have to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def _descendants(root: int) -> list[int]:
    """Pids below `root`, from /proc (empty where there is none), the dead that nobody collected among them.

    A process whose first thread has ended looks as dead as they do, while its other threads still run.
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold spaces; state and parent follow the last parenthesis.
            _, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it ended while we looked
        children.setdefault(int(parent), []).append(int(entry.parent.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _signal_tree(number: int, told: set[int]) -> bool:
    """Signal every process below us that is not in `told`; whether there is any process at all."""
    below = _descendants(os.getpid())
    for pid in set(below) - told:
        told.add(pid)
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
    return bool(below)


def _reap(main: int) -> int | None:
    """Collect the dead, adopted orphans too; the wait status of `main` if it is among them."""
    status = None
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            status = code


def _end_tree(main: int, grace: float) -> int | None:
    """TERM, up to `grace` seconds, KILL; the wait status of `main` if it ended here."""
    status = None
    polite_until = time.monotonic() + grace
    told: set[int] = set()
    while True:
        if time.monotonic() < polite_until:
            # Once each: a second TERM would interrupt a handler that is cleaning up.
            alive = _signal_tree(signal.SIGTERM, told)
        else:
            alive = _signal_tree(signal.SIGKILL, set())
        code = _reap(main)
        status = code if code is not None else status
        if not alive:
            return status
        time.sleep(0.05)


def _leave_as(status: int | None) -> int:
    """The exit code of a wait status; by the same signal where a signal ended it."""
    if status is None:
        return 1
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def supervise(parent: int, grace: float, command: list[str]) -> int:
    """Run `command` until it ends, we are told to stop, or our parent is gone."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    asked: list[int] = []
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)  # only to wake the loop below
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: asked.append(got))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # The pipe alone would not do: a process that our parent forked meanwhile may hold its other end.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        return 127
    child.returncode = 0  # reaped here, not by Popen
    ready: list[int] = []
    while True:
        if os.getppid() != parent or (0 in ready and not os.read(0, 4096)):
            return _leave_as(_end_tree(child.pid, 0.0))
        if wake_read in ready:
            os.read(wake_read, 4096)
        status = _reap(child.pid)
        if status is not None:
            _end_tree(child.pid, grace)
            return _leave_as(status)
        if asked:
            return _leave_as(_end_tree(child.pid, grace))
        ready, _, _ = select.select([0, wake_read], [], [])


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
