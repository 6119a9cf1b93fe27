"""Invariants: each query of sql/checks/ returns the rows that offend against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.paths import package_data
from pipeline.store import queries
from pipeline.store.store import Store

CHECKS = tuple(sorted(file.stem for file in (package_data("sql") / "checks").glob("*.sql")))
"""The names of all checks."""


@dataclass(frozen=True, slots=True)
class Offence:
    """A row that breaks the invariant `check` (the name of its file)."""

    check: str
    row: dict[str, Any]


def run_checks(store: Store, experiment: str, round: int | None = None) -> list[Offence]:
    """Run every check on an experiment, or on one round of it; no offence: all invariants hold."""
    offences: list[Offence] = []
    with store.reading() as connection:
        for name in CHECKS:
            sql = queries.query_text(f"checks/{name}")
            rows = queries.fetch(connection, sql, {"experiment": experiment, "round": round})
            offences.extend(Offence(name, row) for row in rows)
    return offences
