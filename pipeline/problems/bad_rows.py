"""Rows that are refused: an error that names file and line, or a counted record."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pipeline.errors import DataError
from pipeline.records import BadProblem


class BadRowError(Exception):
    """A row is refused. `reason` is a snake_case word for counting, `detail` says what was found and
    expected."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class BadRows:
    """Collects refused rows under `on_bad_row: skip`, and raises at the first one under `error`."""

    def __init__(self, on_bad_row: Literal["error", "skip"]) -> None:
        self.on_bad_row = on_bad_row
        self.rows: list[BadProblem] = []

    def refuse(self, source: str, line: int, error: BadRowError) -> None:
        """Record the row, or raise DataError naming file, line, what is wrong and the remedy."""
        if self.on_bad_row == "error":
            raise DataError(
                f"{source} line {line}: {error.detail}; correct the row, "
                "or set problems.on_bad_row=skip to leave such rows out and count them"
            )
        self.record(source, line, error.reason, error.detail)

    def record(self, source: str, line: int, reason: str, detail: str) -> None:
        """Record a row that is left out whatever `on_bad_row` says, because nothing is lost by it."""
        self.rows.append(BadProblem(source, line, reason, detail))

    def counts(self, start: int = 0) -> Counter[str]:
        """How many rows were refused for which reason, counted from the `start`th on."""
        return Counter(row.reason for row in self.rows[start:])


def shorten(value: object, limit: int = 80) -> str:
    """`repr` of a value, cut to `limit` characters, for messages."""
    shown = repr(value)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
