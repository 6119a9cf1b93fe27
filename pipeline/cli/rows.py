"""How `star sql` and `star reports` write the rows of an answer: a paged table, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from pipeline.cli.terminal import clean, interactive, json_text, print_table, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.store.answers import Answer


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def check_target(form: Format, out: Path | None) -> None:
    """A usage error where rows cannot be written in this form to this place."""
    if form is Format.PARQUET and out is None:
        raise typer.BadParameter("Parquet is not text: name a file with --out FILE", param_hint="--format")
    if form is Format.TABLE and out is not None:
        raise typer.BadParameter("a file takes --format csv, json or parquet", param_hint="--out")
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is no folder", param_hint="--out")


def write_answer(found: Answer, form: Format, out: Path | None, limit: int | None) -> None:
    """Write the rows, at most `limit`, to the file or else to stdout; how many there were goes to stderr."""
    if form is Format.PARQUET:
        assert out is not None, "checked by check_target"
        say(f"wrote {counted(found.write_parquet(out, limit), 'row')} to {out}")
        return
    if form is Format.TABLE:
        every = found.rows()
        shown = list(islice(every, limit))
        print_table(found.columns, shown, right=_numbers(found.columns, shown), paged=True)
        more = limit is not None and next(every, None) is not None
        say(f"{counted(len(shown), 'row')}{', and more' if more else ''}")
        return
    rows = islice(found.rows(), limit)
    with _opened(out) as target:
        written = (_write_csv if form is Format.CSV else _write_json)(target, found.columns, rows)
    if out is not None:
        say(f"wrote {counted(written, 'row')} to {out}")


def _numbers(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> frozenset[str]:
    """Names of the columns that hold numbers only."""
    return frozenset(
        name
        for index, name in enumerate(columns)
        if all(row[index] is None or isinstance(row[index], int | float) for row in rows)
    )


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with out.open("w", encoding="utf-8", newline="") as target:
        yield target


def _write_csv(target: TextIO, columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    """CSV, cleaned where a terminal reads it, as it is where a file or program does."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    written = 0
    on_screen = target is sys.stdout and interactive()
    for written, row in enumerate(rows, start=1):  # noqa: B007
        writer.writerow([clean(str(value)) if on_screen and value is not None else value for value in row])
    return written


def _write_json(target: TextIO, columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    """One array of objects, an object a line."""
    written = 0
    target.write("[")
    for written, row in enumerate(rows, start=1):
        text = json_text(dict(zip(columns, row, strict=True)))
        target.write(f"{',' if written > 1 else ''}\n{text}")
    target.write("\n]\n" if written else "]\n")
    return written
