"""Run a command, stream its lines, and leave nothing of it behind, however we end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from pipeline.errors import StarError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LONGEST_LINE = 1 << 20


class ChildTimeoutError(StarError):
    """A child process took longer than it was given and was ended."""


class LastLines:
    """Keeps the end of a stream for an error message; pass it as `on_error_line`."""

    def __init__(self, lines: int = 40) -> None:
        self._lines: deque[str] = deque(maxlen=lines)

    def __call__(self, line: str) -> None:
        self._lines.append(line)

    @property
    def text(self) -> str:
        """The kept lines."""
        return "\n".join(self._lines)


class _Lines:
    """Cuts a byte stream into lines; a line longer than 1 MiB is handed on in pieces."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._rest) > _LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        if self._rest:
            self._on_line(self._rest.decode("utf-8", "replace"))
        self._rest = b""


def run_child(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    env: Mapping[str, str],
    timeout_s: float | None,
    grace_s: float = 5,
    on_error_line: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Run `argv` to its end and return its exit code, negative where a signal ended it.

    `on_line` gets each line of its standard output, `on_error_line` of its standard error (None: ours), in
    this thread. The child's whole process tree is ended before this returns or raises: TERM, `grace_s`
    seconds, KILL. That covers processes it left behind, an exception in a callback, KeyboardInterrupt,
    SIGTERM (in the main thread, where nobody handles it: SystemExit 143), and, at once and without grace, our
    own death by SIGKILL. ChildTimeoutError after `timeout_s` seconds. A command that cannot be started gives
    127. Within a second after `stop` is set, by another thread, the child is ended: -15.
    """
    with _terminate_as_exit():
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), str(grace_s), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if on_error_line is None else subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
        )
        try:
            if _stream(child, on_line, on_error_line, argv, timeout_s, stop):
                return child.wait()
            return -signal.SIGTERM
        finally:
            end_tree(child, grace_s)


def _stream(
    child: subprocess.Popen[bytes],
    on_line: Callable[[str], None],
    on_error_line: Callable[[str], None] | None,
    argv: Sequence[str],
    timeout_s: float | None,
    stop: threading.Event | None,
) -> bool:
    """Hand on lines until both pipes are closed, which the supervisor sees to; False if told to stop."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for pipe, callback in ((child.stdout, on_line), (child.stderr, on_error_line)):
            if pipe is not None and callback is not None:
                selector.register(pipe, selectors.EVENT_READ, _Lines(callback))
        while selector.get_map():
            if stop is not None and stop.is_set():
                return False
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise ChildTimeoutError(
                    f"child process {' '.join(argv)[:200]!r} was still running after {timeout_s:g} s and was "
                    "ended; give it more time or less work"
                )
            ended = child.poll() is not None
            if ended:
                _kill_rest(child)
            ready = selector.select(0 if ended else 1.0 if left is None else min(left, 1.0))
            if ended and not ready:
                break  # what still holds the pipe left the session of a killed supervisor
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if data:
                    key.data.feed(data)
                else:
                    key.data.finish()
                    selector.unregister(key.fileobj)
    return True


def end_tree(child: subprocess.Popen[bytes], grace_s: float) -> None:
    """Make sure that the supervisor and all below it are gone; close the pipes."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace_s + 5)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
    _kill_rest(child)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def _kill_rest(child: subprocess.Popen[bytes]) -> None:
    """Kill the group of a supervisor that was itself killed, before it could do so."""
    if child.returncode == -signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


@contextlib.contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """While inside, SIGTERM raises SystemExit(143), so that the child gets its grace.

    Only in the main thread (Python allows no other), and only where nobody handles it already.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
