"""The row of a round as people read it, in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.counted import counted

ROUND_COLUMNS = (
    "round",
    "problems",
    "generated correct",
    "rationalized correct",
    "training rows",
    "held-out accuracy",
    "seconds",
)
"""`generated correct` and `rationalized correct` count problems with at least one correct attempt."""

_WIDTHS = (7, 8, 17, 20, 13, 26, 9)


def held_out(row: Mapping[str, Any]) -> tuple[str, float, float, float] | None:
    """Split, accuracy and its interval: of `eval` where measured, else of `dev`; None where neither was.

    Round 0 stands with the better of its prompt styles.
    """
    for split in ("eval", "dev"):
        if row[f"{split}_accuracy"] is not None:
            return split, row[f"{split}_accuracy"], row[f"{split}_low"], row[f"{split}_high"]
    return None


def round_cells(row: Mapping[str, Any]) -> list[str]:
    """A row of the query `rounds_summary` in the order of ROUND_COLUMNS."""
    measured = held_out(row)
    accuracy = "-"
    if measured:
        split, value, low, high = measured
        accuracy = f"{value:.1%} [{low:.1%}, {high:.1%}]" + (" dev" if split == "dev" else "")
    later = row["round"] > 0
    seconds = f"{row['seconds']:,.1f}" if row["seconds"] is not None else "-"
    return [
        f"{row['round']}",
        f"{row['problems']:,}" if later else "-",
        f"{row['generated_correct']:,}" if later else "-",
        f"{row['rationalized_correct']:,}" if later else "-",
        f"{row['training_rows']:,}" if later else "-",
        accuracy,
        "forked" if row["status"] == "forked" else seconds,
    ]


def further_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and cells of the report `further_by_round`: a row for each set, a column for each round."""
    rounds = sorted({row["round"] for row in rows})
    shares = {
        (row["further_set"], row["round"]): f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
        for row in rows
    }
    sets = sorted({row["further_set"] for row in rows})
    cells = [[name, *(shares.get((name, round_), "-") for round_ in rounds)] for name in sets]
    return ["set", *(f"round {round_}" for round_ in rounds)], cells


def round_sentence(row: Mapping[str, Any]) -> str:
    """A row of the query `rounds_summary` as one sentence: what was kept, the accuracy, what is next."""
    parts = [f"round {row['round']}"]
    if row["round"] > 0:
        parts.append(
            f"{row['generated_correct']:,} of {counted(row['problems'], 'problem')} right, "
            f"{row['rationalized_correct']:,} rationalized, {counted(row['training_rows'], 'training row')}"
        )
    measured = held_out(row)
    if measured:
        split, value, low, high = measured
        parts.append(f"{split} {value:.1%} [{low:.1%}, {high:.1%}]")
    if row["decision"]:
        parts.append(f"{row['decision']}: {row['reason']}")
    return "; ".join(parts)


def header_line() -> str:
    """The column names, aligned with `round_line`."""
    return _aligned(ROUND_COLUMNS)


def round_line(row: Mapping[str, Any]) -> str:
    """One round as a line of fixed width, so that rows can be printed as rounds finish."""
    return _aligned(round_cells(row))


def _aligned(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
