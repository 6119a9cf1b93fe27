"""Several children at once, each in a slot of its own: a GPU, say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Slot = TypeVar("Slot")
Result = TypeVar("Result")


def run_side_by_side(
    items: Iterable[Item], slots: Sequence[Slot], run: Callable[[Item, Slot, threading.Event], Result]
) -> list[Result]:
    """`run(item, slot, stop)` of every item in threads, as many at once as there are slots; results in order.

    An item takes whichever slot is free. One that fails leaves the others alone: the first exception is
    raised when all have ended. `run` has to end soon after `stop` is set, as `run_child` does that is given
    it: KeyboardInterrupt or SystemExit in this thread sets it and waits.
    """
    stop = threading.Event()
    free: SimpleQueue[Slot] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def in_a_slot(item: Item) -> Result:
        slot = free.get()
        try:
            return run(item, slot, stop)
        finally:
            free.put(slot)

    with ThreadPoolExecutor(len(slots), thread_name_prefix="side-by-side") as threads:
        started: list[Future[Result]] = [threads.submit(in_a_slot, item) for item in items]
        try:
            wait(started)
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise
    return [each.result() for each in started]
