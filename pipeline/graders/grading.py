"""Grade a stream of items in order, with bounded memory: cheap verdicts at once, slow ones from the pool."""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from pipeline.config.graders import GraderConfig
from pipeline.graders.local_judge import LocalJudges
from pipeline.graders.pool import Pool, Ticket
from pipeline.graders.protocol import Grader
from pipeline.graders.registry import build_grader, grader_digest
from pipeline.identity import digest
from pipeline.records import GradeItem, Outcome, Verdict

WINDOW = 2_048
"""Items between the oldest without a verdict and the newest read."""
CACHE = 100_000
_POLL_EVERY = 32
_WAIT_S = 0.5
_OF_THE_MOMENT = frozenset({"timeout", "crashed", "memory"})
"""Outcomes of the machine's state rather than of the answer: asked again next time."""


@dataclasses.dataclass(slots=True)
class _Slot:
    item_key: str
    cache_key: str
    verdict: Verdict | None = None
    ticket: Ticket | None = None


class Grading:
    """One grader at work. Use as a context manager: on leaving, no process is left.

    Judges of its own engines are opened by the first item that needs a worker. `known` are verdicts of the
    same grader that were reached before, by `item_key`; more may join while it is open. Items are graded in
    their order by `grade`, or beside other work: `offer` one by one, and `take` the verdicts that there are.
    """

    def __init__(
        self, config: GraderConfig, workers: int, known: Mapping[str, Verdict] | None = None
    ) -> None:
        self._known = {} if known is None else known
        self._offered: list[_Slot] = []
        self.grader: Grader = build_grader(config)
        self.digest = grader_digest(config)
        self._pool = Pool(
            config.model_dump(mode="json"),
            workers=max(1, workers),
            memory_mb=self.grader.memory_mb,
            backlog=self.grader.backlog,
            environment=self.grader.environment,
        )
        self._judges = LocalJudges(config)
        self._cache: OrderedDict[str, Verdict] = OrderedDict()
        self._in_flight: dict[str, Ticket] = {}
        self._closed = False

    def __enter__(self) -> Grading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        if not self._closed:
            self._closed = True
            self._pool.close()
            self._judges.close()

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers alive now: none until something needed one."""
        return self._pool.processes

    @property
    def opens_models(self) -> bool:
        """Whether a judge opens a model in this process's place: one more beside an engine that writes."""
        return self._judges.needed

    @property
    def pending(self) -> int:
        """Items offered whose verdict was not taken yet."""
        return len(self._offered)

    def offer(self, item: GradeItem) -> None:
        """Have an item graded while the caller goes on; its text is held until its verdict is taken."""
        self._offered.append(self._start(item))

    def take(self, wait_s: float = 0.0) -> list[Verdict]:
        """Verdicts of offered items, in any order, waiting at most `wait_s` seconds for the first."""
        if self._offered and self._pool.busy:
            self._judges.check()
            self._pool.poll(0.0 if any(map(self._settled, self._offered)) else wait_s)
        waiting: list[_Slot] = []
        settled: list[_Slot] = []
        for slot in self._offered:
            (settled if self._settled(slot) else waiting).append(slot)
        self._offered = waiting
        return [self._take(slot) for slot in settled]

    def grade(self, items: Iterable[GradeItem]) -> Iterator[Verdict]:
        """A verdict per item, in the order of the items; at most `WINDOW` items are held at a time."""
        slots: deque[_Slot] = deque()
        finished = False
        try:
            for count, item in enumerate(items):
                slots.append(self._start(item))
                if count % _POLL_EVERY == 0 and self._pool.busy:
                    self._pool.poll(0)
                while slots and self._settled(slots[0]):
                    yield self._take(slots.popleft())
                while len(slots) >= WINDOW:
                    self._wait()
                    if self._settled(slots[0]):
                        yield self._take(slots.popleft())
            while slots:
                if not self._settled(slots[0]):
                    self._wait()
                    continue
                yield self._take(slots.popleft())
            finished = True
        finally:
            if not finished and not self._closed:
                self._pool.abandon()
                self._in_flight.clear()

    def _start(self, item: GradeItem) -> _Slot:
        if self._known and (before := self._known.get(item_key(item))) is not None:
            return _Slot(item.key, "", _with(before, item.key, before.elapsed_ms))
        started = time.perf_counter()
        found = self.grader.inline(item)
        if isinstance(found, Verdict):
            elapsed = (time.perf_counter() - started) * 1e3
            return _Slot(item.key, "", _with(found, item.key, elapsed))
        key = found.cache_key
        known = self._cache.get(key) if key else None
        if known is not None:
            self._cache.move_to_end(key)
            elapsed = (time.perf_counter() - started) * 1e3
            return _Slot(item.key, key, _with(known, item.key, elapsed))
        ticket = self._in_flight.get(key) if key else None
        if ticket is None:
            self._pool.tell_workers(self._judges.open())
            ticket = self._pool.submit(found)
            if key:
                self._in_flight[key] = ticket
        return _Slot(item.key, key, ticket=ticket)

    def _wait(self) -> None:
        self._judges.check()
        self._pool.poll(_WAIT_S)

    def _settled(self, slot: _Slot) -> bool:
        return slot.verdict is not None or (slot.ticket is not None and slot.ticket.verdict is not None)

    def _take(self, slot: _Slot) -> Verdict:
        if slot.verdict is not None:
            return slot.verdict
        assert slot.ticket is not None and slot.ticket.verdict is not None
        verdict = slot.ticket.verdict
        if slot.cache_key:
            self._in_flight.pop(slot.cache_key, None)
            if is_final(verdict):
                self._cache[slot.cache_key] = verdict
                if len(self._cache) > CACHE:
                    self._cache.popitem(last=False)
        return _with(verdict, slot.item_key, verdict.elapsed_ms)


def _with(verdict: Verdict, key: str, elapsed_ms: float) -> Verdict:
    return Verdict(
        key, verdict.outcome, verdict.score, verdict.reason, verdict.answer, verdict.subscores, elapsed_ms
    )


def is_final(verdict: Verdict) -> bool:
    """Whether another try would say the same: a machine short of time or memory may have more later."""
    return not (verdict.outcome is Outcome.UNGRADED and verdict.reason in _OF_THE_MOMENT)


def item_key(item: GradeItem) -> str:
    """Equal for items of which a grader sees the same."""
    return digest(dataclasses.asdict(item))


def open_grading(config: GraderConfig, workers: int, known: Mapping[str, Verdict] | None = None) -> Grading:
    """A grading session: `with open_grading(config, 2) as grading: for verdict in grading.grade(items)`."""
    return Grading(config, workers, known)
