"""How a child process of this package speaks: JSON lines on its standard output, nothing else."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

Say = Callable[..., None]
"""Called with the name of an event and its fields."""
FLUSH_S = 60.0
"""Longest wait at the end for trackers that send what they still hold, in seconds."""


def take_over_output() -> Say:
    """Let events own the pipe: descriptor 1 becomes standard error before any library can write to it."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    return say


def leave(code: int, *, flush: bool) -> NoReturn:
    """End the process; with `flush` trackers may send what they still hold, in bounded time.

    Without, everything is on disk and said: taking torch and its threads down in order would only cost time.
    """
    sys.stderr.flush()
    if not flush:
        os._exit(code)
    late = threading.Timer(FLUSH_S, os._exit, (code,))
    late.daemon = True
    late.start()
    sys.exit(code)
