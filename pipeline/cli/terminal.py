"""What goes to the terminal: cleaned text, tables, JSON. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.hostile import clean as clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def console(stderr: bool = False) -> Console:
    """A console that interprets no markup and highlights nothing."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=False)


def say_error(message: str) -> None:
    """An error message on stderr, its first word red where that shows."""
    from rich.text import Text

    text = Text("error: ", style="bold red")
    text.append(clean(message), style="not bold default")
    console(stderr=True).print(text, soft_wrap=True)


def say(message: str) -> None:
    """One line for people, on stderr."""
    console(stderr=True).print(clean(message), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout; other characters than ASCII are escaped, control sequences with them."""
    print(json_text(value), flush=True)


def json_text(value: Any) -> str:
    """`value` as one line of JSON in ASCII; what JSON does not know (times, decimals) becomes text."""
    return json.dumps(_finite(value), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """`value` as JSON can hold it: a number that is none, or infinite, becomes null."""
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    right: frozenset[str] = frozenset(),
    paged: bool = False,
) -> None:
    """A table on stdout; columns named in `right` are right-aligned. Cells are cleaned.

    `paged`: on a terminal through the pager (PAGER, else less, which leaves at once where all fits, and
    scrolls sideways), so that rows are not folded.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell_text(value) for value in row))
    wide = console()
    if paged or not wide.is_terminal:
        wide.width = 10_000  # a pipe has no width: rows are not folded
    if paged and wide.is_terminal:
        os.environ.setdefault("LESS", "FRXS")  # as git has it, and lines are not wrapped
        with wide.pager():
            wide.print(table)
        return
    wide.print(table)


def cell_text(value: Any) -> Text:
    """A cell as text: nothing for None, one line, cleaned."""
    from rich.text import Text

    if value is None:
        return Text("")
    if isinstance(value, Text):
        return value
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    return Text(clean(str(value)).replace("\n", " "))


def interactive() -> bool:
    """Whether results are read by a person at a terminal."""
    return sys.stdout.isatty()


def examples(*commands: str) -> str:
    """Examples for the end of a help page, one a line."""
    from rich.markup import escape

    return "\n\n".join(
        ["[bold]Examples[/bold]", *(f"[cyan]{escape(command)}[/cyan]" for command in commands)]
    )
