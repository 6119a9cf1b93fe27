"""Requests to a server: what is still to be asked for, when, and what is on its way."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.engines.openai_api import Answer
from pipeline.errors import StarError
from pipeline.records import Request

if TYPE_CHECKING:
    import httpx2


@dataclass(slots=True)
class Asked:
    """One try of a request: its place in the order of requests, and how often it has failed before."""

    place: int
    request: Request
    failures: int
    prompt: Sequence[int] = ()
    body: dict[str, Any] = field(default_factory=dict)
    turn: int = 0
    task: asyncio.Task[Answer] | None = None

    def result(self) -> Answer:
        """The answer; raises Unanswered."""
        assert self.task is not None
        return self.task.result()


class Work:
    """What is still to be asked for, when, and what is on its way."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = list(requests)
        # (not before, place, failures): in order, but for those that wait to be asked again.
        self._waiting = [(0.0, place, 0) for place in range(len(self._requests))]
        self._running: dict[asyncio.Task[Answer], Asked] = {}
        self._held_until = 0.0
        self.failure: StarError | None = None

    @property
    def unfinished(self) -> bool:
        """Whether anything is on its way, or still to be asked for."""
        return bool(self._running or self._waiting)

    def next(self, limit: int) -> Asked | None:
        """A request whose time has come, where fewer than `limit` are on their way."""
        if not self._waiting or len(self._running) >= limit or self._wait_s() > 0:
            return None
        _, place, failures = heapq.heappop(self._waiting)
        return Asked(place, self._requests[place], failures)

    def started(self, asked: Asked, turn: int, task: asyncio.Task[Answer]) -> None:
        """It is on its way."""
        asked.turn, asked.task = turn, task
        self._running[task] = asked

    def again(self, asked: Asked, pause_s: float) -> None:
        """Ask for it again in `pause_s` seconds, unless something has failed for good."""
        if self.failure is None:
            heapq.heappush(self._waiting, (time.monotonic() + pause_s, asked.place, asked.failures + 1))

    def hold(self, pause_s: float) -> None:
        """Ask for nothing for so many seconds."""
        self._held_until = max(self._held_until, time.monotonic() + pause_s)

    def fail(self, failure: StarError) -> None:
        """Ask for nothing more; what is on its way may still arrive."""
        self.failure = self.failure or failure
        self._waiting.clear()

    async def some_done(self, limit_s: float) -> list[Asked]:
        """Requests that have ended, at the latest when another may start or after `limit_s`."""
        wait_s = min(limit_s, self._wait_s()) if self._waiting and self._wait_s() > 0 else limit_s
        if not self._running:
            await asyncio.sleep(wait_s if self._waiting else 0)
            return []
        done, _ = await asyncio.wait(self._running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return sorted((self._running.pop(task) for task in done), key=lambda asked: asked.place)

    async def abandon(self, client: httpx2.AsyncClient) -> None:
        """Break off what is on its way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await client.aclose()

    def _wait_s(self) -> float:
        """Seconds until the next waiting request may start."""
        return max(self._held_until, self._waiting[0][0]) - time.monotonic()
