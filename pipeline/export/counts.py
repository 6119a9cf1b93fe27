"""What an export wrote and what it left out, to be said in the card and on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counts:
    """Rows written, by the values of some of their columns, and rows left out, by reason."""

    rows: int = 0
    flagged: int = 0
    by: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def seeing(self, rows: Iterable[Mapping[str, Any]], *columns: str) -> Iterator[Mapping[str, Any]]:
        """The rows as they are, each counted as it passes."""
        for row in rows:
            self.rows += 1
            self.flagged += row.get("flagged") is not None
            for column in columns:
                if row[column] is not None:
                    self.by.setdefault(column, Counter())[str(row[column])] += 1
            yield row

    @property
    def considered(self) -> int:
        """Rows written and rows left out, together."""
        return self.rows + self.left_out.total()

    def table(self) -> dict[str, int]:
        """`rows considered` = `rows` + all of `left out: REASON`; then `column: value` -> rows."""
        found = {"rows considered": self.considered, "rows": self.rows}
        found |= {f"left out: {reason}": number for reason, number in self.left_out.most_common()}
        for column, counter in self.by.items():
            found |= {f"{column}: {value}": number for value, number in counter.most_common()}
        if self.flagged:
            found["flagged by people"] = self.flagged
        return found

    def said_of_left_out(self) -> str:
        """`; 4 of 7 left out: 3 wrong, 1 cut_off`; empty where nothing was."""
        if not self.left_out:
            return ""
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in self.left_out.most_common())
        return f"; {self.left_out.total():,} of {self.considered:,} left out: {reasons}"
