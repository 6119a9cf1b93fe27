"""Spares Python's cyclic garbage collector the objects that imports make, which stay to the end anyway."""

from __future__ import annotations

import atexit
import gc

_ALLOCATIONS = 100_000


def spare_imports() -> None:
    """Call first in a process that imports torch or transformers.

    Their imports make about a million objects. Python looks through the young ones after every 700, and at
    the end through all of them once more: a third of the start of a training (`from trl import SFTTrainer`
    6.3 s of processor time, 4.0 s with this) and half a second of every end.
    """
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
