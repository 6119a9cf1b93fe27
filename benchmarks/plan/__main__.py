"""What `star plan` predicts beside what came: `python -m benchmarks.plan [--config smoke] [--pilot 200]`.

Runs the pilot and then the experiment itself, in STAR_HOME. `--home` and `--experiment` name a finished run
instead: its recorded config is planned, and only the pilot is run. Exits with 1 where something came out of
its interval, but for the time, which goes by how busy the machine is.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.plan.came import Beside, beside
from pipeline.cli.context import recorded_config
from pipeline.config import LoadedConfig, load_config
from pipeline.config.site import PricesSite
from pipeline.paths import Home
from pipeline.plan import measure, predict, run_pilot
from pipeline.progress import default_progress
from pipeline.runner import open_session, run_experiment
from pipeline.store import Store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="smoke", help="a config file, or the name of a shipped one")
    parser.add_argument("--pilot", type=int, default=200, help="problems of the pilot")
    parser.add_argument("--home", type=Path, help="home of a finished run")
    parser.add_argument("--experiment", help="its name")
    options = parser.parse_args()
    if (options.home is None) != (options.experiment is None):
        parser.error("--home and --experiment name a finished run together")
    here, progress = Home.from_environment(), default_progress()
    there = Home(options.home.resolve()) if options.home else here
    loaded = _recorded(there, options.experiment) if options.experiment else load_config(Path(options.config))
    pilot = run_pilot(loaded, here, options.pilot, progress)
    measured = measure(pilot)
    if not options.experiment:
        run_experiment(open_session(here, loaded.experiment, loaded, progress))
    compared = list(beside(predict(measured, PricesSite()), Store(there), loaded.experiment))
    print(f"## {loaded.experiment}: a pilot of {len(measured.problems):,} problems beside what came\n")
    _print(compared)
    return 0 if all(each.held or each.quantity == "seconds" for each in compared) else 1


def _recorded(home: Home, experiment: str) -> LoadedConfig:
    """The config that a finished run was started with, with as many rounds as it had."""
    loaded = recorded_config(home, experiment)
    last = max(row["round"] for row in Store(home).rows("rounds", experiment=experiment))
    return replace(loaded, config=loaded.config.model_copy(update={"rounds": last}))


def _print(compared: list[Beside]) -> None:
    print("| round | quantity | predicted | low | high | came | within |")
    print("|---|---|---|---|---|---|---|")
    for each in compared:
        form = ".1%" if each.quantity in ("pass_rate", "cut_off") else ",.0f"
        ends = (each.predicted.value, each.predicted.low, each.predicted.high, each.came)
        numbers = " | ".join(format(number, form) for number in ends)
        where = "all" if each.round is None else each.round
        print(f"| {where} | {each.quantity.replace('_', ' ')} | {numbers} | {'yes' if each.held else 'no'} |")
    held = sum(each.held for each in compared)
    print(f"\n{held} of {len(compared)} within their intervals")


if __name__ == "__main__":
    sys.exit(main())
