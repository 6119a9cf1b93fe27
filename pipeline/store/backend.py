"""What the rest of the store asks of the place where the tables lie: a DuckDB file, or a shared DuckLake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from pipeline.store.copying import Copied

# Up to this size analysts get a snapshot of this moment, beyond it one that may be some minutes old.
SMALL_BYTES = 256 << 20
STALE_AFTER_S = 300.0

Fill = Callable[[duckdb.DuckDBPyConnection], None]


@dataclass(frozen=True, slots=True)
class Compacted:
    """Size of the store's files before and after, in bytes."""

    before: int
    after: int


class Backend(Protocol):
    """One place. `str` of it names it in messages and holds no secret."""

    dialect: str
    """The folder of sql/migrations/ with what only this kind of store understands."""

    def exists(self) -> bool:
        """Whether a store, or something that is not ours, is there."""
        ...

    def create(self, fill: Fill) -> None:
        """Make the store where there is none, with what `fill` writes into the empty one: all or nothing."""
        ...

    def connect(self, *, write: bool) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection whose default database is the store, gone on the way out. Not to be nested.

        At most one writer has one at a time, whatever its process or machine. StoreError where the store
        cannot be reached in time.
        """
        ...

    def snapshot(self, target: Path, max_age_s: float) -> None:
        """Make `target` a DuckDB file with all tables and views, unless it is current or young enough."""
        ...

    def snapshot_age(self, target: Path) -> float:
        """Seconds a snapshot may lag when an analyst asks: none where it is small, else minutes."""
        ...

    def compact(self, copied: Copied) -> Compacted:
        """Give back the space of rows that were replaced; those that count stay the same.

        `copied` is told of rows as they are written anew. Killed in the middle, the store is as it was.
        """
        ...

    def still(self) -> AbstractContextManager[None]:
        """Within the block nobody else writes. Not within `connect` of the same place."""
        ...

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Attach the store to a connection of another place, read-only; the caller is within `still`."""
        ...
