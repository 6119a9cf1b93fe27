"""Whose time it was: the seconds of completions that are written side by side."""

from __future__ import annotations

import time


class Clock:
    """Wall time shared out over what finished in it, so that the seconds of all completions add up to it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Leave out what has passed: the caller had the turn."""
        self._since = time.perf_counter()

    def share(self, finished: int) -> float:
        """Seconds for each of `finished` completions; none finished: the time waits for the next ones."""
        if not finished:
            return 0.0
        now = time.perf_counter()
        seconds, self._since = (now - self._since) / finished, now
        return seconds
