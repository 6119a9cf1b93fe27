"""`star demo`: real bootstrapping on this machine, in minutes."""

from __future__ import annotations

import json as json_module
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of
from pipeline.cli.rounds_table import RoundsPrinter
from pipeline.cli.terminal import clean, print_json, say
from pipeline.report.tables import header_line, round_line

if TYPE_CHECKING:
    from pipeline.paths import Home

PANEL = "Start"
CONFIG = "addition"
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "with rationalization": ("", ()),
    # The fifth sample is what rationalization would have drawn for the problems that four did not solve.
    "no rationalization": ("-no-hint", ("rationalize.enabled=false", "generate.samples=5")),
    "no filter": ("-no-filter", ("select.filter=none",)),
}
"""Title of an arm -> what its experiment's name ends with, and what differs from the config."""


def register(app: typer.Typer) -> None:
    add(app, demo, PANEL, "star demo", "star demo --seed 1", "star demo --ablation")


def demo(
    ctx: typer.Context,
    ablation: bool = typer.Option(
        False, "--ablation", help="Also run it without rationalization and without the filter, to compare."
    ),
    seed: int = typer.Option(0, min=0, help="Seed of the base (which digit sums it knows) and of the loop."),
    rounds: int | None = typer.Option(None, min=0, help="Rounds, instead of the config's six."),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change a value of the config in every arm."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document per round on stdout."),
) -> None:
    """Watch a small model teach itself addition: six rounds, no GPU, no network, some minutes.

    It pretrains its own base, which knows the procedure and 40 of the 100 digit sums, and then learns the
    others from its own verified rationales. A report with plots is written at the end.
    """
    from pipeline.report.write import write_comparison, write_report

    home = home_of(ctx)
    arms = dict(list(ARMS.items())[: None if ablation else 1])
    names = {title: f"demo-s{seed}{suffix}" for title, (suffix, _) in arms.items()}
    settings = {
        names[title]: (f"seed={seed}", f"model.tiny.seed={seed}", *overrides, *set_)
        for title, (_, overrides) in arms.items()
    }
    if ablation:
        _run_arms(home, {name: title for title, name in names.items()}, settings, rounds, json)
        written = write_comparison(home, names)
    else:
        ((name, overrides),) = settings.items()
        _run_here(home, name, overrides, rounds, json)
        written = write_report(home, name)
    if json:
        print_json({"report": str(written)})
    else:
        print(f"\nreport: {written}")


def _run_here(home: Home, name: str, overrides: tuple[str, ...], rounds: int | None, as_json: bool) -> None:
    from pipeline.config import load_config
    from pipeline.progress import default_progress
    from pipeline.runner import open_session, run_experiment

    loaded = load_config(Path(CONFIG), overrides, experiment=name)
    session = open_session(home, name, loaded, default_progress())
    printer = RoundsPrinter(session.store, name, as_json=as_json)
    reason = run_experiment(session, rounds=rounds, on_round=printer.show)
    if as_json:
        print_json({"experiment": name, "reason": reason})
    else:
        say(f"{name}: {reason}")


def _run_arms(
    home: Home,
    titles: dict[str, str],
    settings: dict[str, tuple[str, ...]],
    rounds: int | None,
    as_json: bool,
) -> None:
    """Run the arms beside each other, as many at once as there are cores: each uses one thread."""
    from pipeline.cli.side_by_side import run_side_by_side

    _make_base(home, next(iter(settings.values())))
    wide = max(len(title) for title in titles.values())
    if not as_json:
        print(f"{'':{wide}}  {header_line()}", flush=True)

    def show(name: str, line: str) -> None:
        if as_json:
            print(line, flush=True)
            return
        row = json_module.loads(line)
        if "round" in row:
            print(f"{titles[name]:{wide}}  {round_line(row)}", flush=True)

    def note(name: str, line: str) -> None:
        print(f"{titles[name]}: {clean(line)}", file=sys.stderr, flush=True)

    further = [] if rounds is None else ["--rounds", str(rounds)]
    commands = {
        name: [
            *("--home", str(home.root), "run", CONFIG, "--experiment", name, "--json", *further),
            *(part for override in overrides for part in ("--set", override)),
        ]
        for name, overrides in settings.items()
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    run_side_by_side(commands, at_once=cores, on_result=show, on_note=note)


def _make_base(home: Home, overrides: tuple[str, ...]) -> None:
    """Pretrain the base that all arms share, once, before they start."""
    from pipeline.config import load_config
    from pipeline.progress import default_progress
    from pipeline.tiny_base import ensure_tiny_base

    tiny = load_config(Path(CONFIG), overrides).config.model.tiny
    if tiny is not None:
        ensure_tiny_base(tiny, home.bases, default_progress())
