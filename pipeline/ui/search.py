"""Search in the texts of a whole experiment: part by part, newest round first, within a budget of time.

It tells how far it got as it goes, can be stopped at any moment, and says from where to go on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.store import QueryStoppedError, SnapshotReader
from pipeline.ui.filters import Filter

BUDGET_S = 5.0
HITS = 50
# Characters of one part of a round: read in about a second, so that the end of the budget loses little.
_PART = 150_000_000


@dataclass(frozen=True, slots=True)
class Hit:
    """An attempt whose text has what was looked for."""

    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the attempts were looked at, and how many hits there are so far."""

    searched: int
    total: int
    hits: int


@dataclass(frozen=True, slots=True)
class End:
    """The search is over: `all`, or `enough` hits, or `time` is up; `place` is where to go on."""

    why: str
    progress: Progress
    place: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    round: int
    part: int
    parts: int
    attempts: int

    @property
    def key(self) -> str:
        return f"{self.round}.{self.part}"


def search(
    reader: SnapshotReader, experiment: str, wanted: Filter, place: str | None, budget_s: float = BUDGET_S
) -> Iterator[Hit | Progress | End]:
    """Hits and progress as they come, then one End. `place` is that of an earlier End; None: the beginning.

    When `reader` is stopped from elsewhere, it ends with QueryStoppedError.
    """
    parts = list(_parts(reader, experiment, wanted))
    key, _, after = (place or "").partition("/")
    start = next((index for index, part in enumerate(parts) if part.key == key), 0)
    total = sum(part.attempts for part in parts)
    searched, hits = sum(part.attempts for part in parts[:start]), 0
    late = threading.Event()

    def time_is_up() -> None:
        late.set()
        reader.stop()

    timer = threading.Timer(budget_s, time_is_up)
    timer.daemon = True
    timer.start()
    try:
        for part in parts[start:]:
            try:
                rows = _of_part(reader, experiment, wanted, part, after, HITS - hits)
            except QueryStoppedError:
                if not late.is_set():
                    raise
                yield End("time", Progress(searched, total, hits), f"{part.key}/{after}")
                return
            yield from (Hit(row) for row in rows)
            hits += len(rows)
            if hits == HITS:
                yield End("enough", Progress(searched, total, hits), f"{part.key}/{rows[-1]['rationale_id']}")
                return
            after = ""
            searched += part.attempts
            yield Progress(searched, total, hits)
    finally:
        timer.cancel()
    yield End("all", Progress(searched, total, hits), None)


def _parts(reader: SnapshotReader, experiment: str, wanted: Filter) -> Iterator[_Part]:
    rows = reader.rows(
        "ui_search_parts",
        experiment=experiment,
        round=wanted.round,
        origin=wanted.origin,
        split=wanted.split,
    )
    for row in rows:
        parts = max(1, -(-row["chars"] // _PART))
        for part in range(parts):
            share = row["attempts"] // parts + (part < row["attempts"] % parts)
            yield _Part(row["round"], part, parts, share)


def _of_part(
    reader: SnapshotReader, experiment: str, wanted: Filter, part: _Part, after: str, limit: int
) -> list[dict[str, Any]]:
    return reader.rows(
        "ui_search",
        experiment=experiment,
        **wanted.parameters("round"),
        round=part.round,
        part=part.part,
        parts=part.parts,
        after=after,
        limit=limit,
    )
