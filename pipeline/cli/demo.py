"""`star demo`: real bootstrapping on this machine, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.arms import ArmRun, cores, make_base, run_arms
from pipeline.cli.commands import add
from pipeline.cli.context import home_of
from pipeline.cli.rounds_table import RoundsPrinter
from pipeline.cli.terminal import print_json, say

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
    from pipeline.config import load_config
    from pipeline.report.write import write_comparison, write_report

    home = home_of(ctx)
    arms = dict(list(ARMS.items())[: None if ablation else 1])
    names = {title: f"demo-s{seed}{suffix}" for title, (suffix, _) in arms.items()}
    settings = {
        names[title]: (f"seed={seed}", f"model.tiny.seed={seed}", *overrides, *set_)
        for title, (_, overrides) in arms.items()
    }
    if ablation:
        runs = [ArmRun(title, name, settings[name], rounds) for title, name in names.items()]
        make_base(home, load_config(Path(CONFIG), settings[runs[0].experiment]).config)
        run_arms(home, CONFIG, runs, at_once=cores(), as_json=json)
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
