"""SIGTERM ends a command as Ctrl-C does: leases given back, child processes ended, what is done kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_received: signal.Signals | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise KeyboardInterrupt in the main thread, and are remembered.

    A SIGINT that was ignored (a shell's background job) stays ignored.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted_by() -> signal.Signals | None:
    """The signal that interrupted this process, if one did.

    An error that is raised after it may be its consequence: a library that looks for signals within a long C
    call reports them as an error of its own (DuckDB's is `RuntimeError: Query interrupted`).
    """
    return _received


def _interrupt(signum: int, frame: FrameType | None) -> None:
    global _received
    _received = signal.Signals(signum)
    raise KeyboardInterrupt(f"stopped by {_received.name}")
