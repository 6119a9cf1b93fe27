"""The most memory that this process and all below it take: graders, the training, an engine's workers."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY_S = 1.0
_MIB = 1 << 20


class MemoryWatch:
    """While inside, looks at the process tree once a second, and when it is entered and left.

    `peak_mib` is the largest sum of resident memory seen, in MiB. Pages that processes share count in each of
    them; a child that lived for less than a second may have been missed.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._left.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.peak_mib = max(self.peak_mib, resident_mib())


def resident_mib() -> float:
    """Resident memory of this process and all below it, in MiB."""
    own = psutil.Process()
    return sum(_resident(process) for process in [own, *own.children(recursive=True)]) / _MIB


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # it ended while we looked
