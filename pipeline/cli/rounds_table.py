"""Prints the row of each round as it finishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.terminal import print_json
from pipeline.report.tables import header_line, round_line

if TYPE_CHECKING:
    from pipeline.store import Store


class RoundsPrinter:
    """`show(round)` prints one line of the table, its header before the first."""

    def __init__(self, store: Store, experiment: str, *, as_json: bool = False) -> None:
        self._store, self._experiment, self._as_json = store, experiment, as_json
        self._started = False

    def show(self, round_: int) -> None:
        rows = self._store.rows("rounds_summary", experiment=self._experiment)
        row = next(row for row in rows if row["round"] == round_)
        if self._as_json:
            print_json(row)
            return
        if not self._started:
            self._started = True
            print(header_line())
        print(round_line(row), flush=True)
