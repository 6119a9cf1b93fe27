"""`star ablate`: what each part of the loop is worth, beside controls that spend as much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.arms import ArmRun, cores, make_base, run_arms
from pipeline.cli.commands import add
from pipeline.cli.context import home_of, is_experiment
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.ablation import Arm
    from pipeline.config import ExperimentConfig, LoadedConfig
    from pipeline.paths import Home
    from pipeline.report.ablation import ArmLine

PANEL = "Run"


def register(app: typer.Typer) -> None:
    add(
        app,
        ablate,
        PANEL,
        "star ablate addition --vary rationalize=on,off --seeds 3",
        "star ablate configs/gsm8k.yaml --vary rationalize=on,off --vary train.start=base,previous",
        "star ablate addition --controls",
    )


def ablate(
    ctx: typer.Context,
    config: str = typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config."),
    vary: list[str] = typer.Option(
        [], "--vary", metavar="KEY=ONE,TWO", help="Values of a setting; several give every combination."
    ),
    controls: bool = typer.Option(
        False, "--controls", help="Add the controls, at the budget of the first arm."
    ),
    seeds: int = typer.Option(1, min=1, help="Seeds, from 0; of the loop and of a base of our own."),
    rounds: int | None = typer.Option(None, min=1, help="Rounds of the loop, instead of the config's."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP + " In every arm."),
    name: str | None = typer.Option(
        None, help="What the experiments' names begin with. Default: the config's."
    ),
    at_once: int | None = typer.Option(
        None, min=1, help="Arms at a time. Default: the cores for a base of our own, else 1 (one GPU)."
    ),
    json: bool = typer.Option(False, "--json", help="The arms as JSON on stdout."),
) -> None:
    """Run arms that differ in some settings, over several seeds, and put them into one table and one plot.

    The first combination is the arm that others are held against. With --controls also: one-shot rejection
    sampling, SFT without a filter, on answers alone and on gold solutions, and the majority vote of the base,
    at its generated tokens and training steps. Rounds that two arms share are forked. The same command goes
    on after an interruption.
    """
    from pipeline.ablation import arms_of, check_settings, seed_settings

    home = home_of(ctx)
    check_settings(set_)
    loaded = _load(config, set_)
    name = name or loaded.experiment
    arms = arms_of(vary, loaded.config)
    own = loaded.config.model.tiny is not None
    each = {seed: (*set_, *seed_settings(loaded.config, seed)) for seed in range(seeds)}
    for settings in each.values():
        for arm in arms:
            _load(config, (*settings, *arm.settings))
        make_base(home, _load(config, settings).config)
    plan = _Plan(home, config, name, rounds, each, at_once or (cores() if own else 1), json)
    plan.run([(arms[0], seed) for seed in each])
    left_out: Sequence[str] = ()
    controlled: list[tuple[Arm, int]] = []
    if controls:
        controlled, left_out = plan.controls(arms[0])
    plan.run([(arm, seed) for arm in arms[1:] for seed in each] + controlled, first=arms[0])
    shown = [*arms, *(arm for arm, seed in controlled if seed == 0)]
    _tell(home, plan, shown, left_out, as_json=json)


class _Plan:
    """The arms of one command: which experiment stands for an arm and a seed, and running what is missing."""

    def __init__(
        self,
        home: Home,
        config: str,
        name: str,
        rounds: int | None,
        settings: dict[int, tuple[str, ...]],
        at_once: int,
        as_json: bool,
    ) -> None:
        self.home, self.config, self.name, self.rounds = home, config, name, rounds
        self.settings, self.at_once, self.as_json = settings, at_once, as_json

    def load(self, arm: Arm, seed: int) -> ExperimentConfig:
        return _load(self.config, (*self.settings[seed], *arm.settings)).config

    def run(self, wanted: Sequence[tuple[Arm, int]], first: Arm | None = None) -> None:
        """Run arms and seeds; with `first`, those that repeat rounds of it are forked from it."""
        runs = []
        for arm, seed in wanted:
            if first is not None:
                self._fork(first, arm, seed)
            rounds = self.rounds if arm.rounds is None else arm.rounds
            title = f"{arm.title}, seed {seed}" if len(self.settings) > 1 else arm.title
            settings = (*self.settings[seed], *arm.settings)
            runs.append(ArmRun(title, arm.experiment(self.name, seed), settings, rounds))
        if runs:
            run_arms(self.home, self.config, runs, at_once=self.at_once, as_json=self.as_json)

    def _fork(self, first: Arm, arm: Arm, seed: int) -> None:
        from pipeline.ablation import shared_rounds
        from pipeline.fork import fork
        from pipeline.store import Store

        source, new = first.experiment(self.name, seed), arm.experiment(self.name, seed)
        config = self.load(arm, seed)
        shared = shared_rounds(self.load(first, seed), config)
        if shared is None or is_experiment(self.home, new):
            return
        fork(Store(self.home), self.home, source, new, shared, config)
        say(f"{new} takes over rounds 0 to {shared} of {source}" if shared else f"{new} shares round 0")

    def controls(self, first: Arm) -> tuple[list[tuple[Arm, int]], Sequence[str]]:
        """The control arms of each seed at what the first arm spent with that seed, and what is left out."""
        from pipeline.ablation import budget_of, controls
        from pipeline.store import Store

        store = Store(self.home)
        arms: list[tuple[Arm, int]] = []
        left_out: Sequence[str] = ()
        for seed in self.settings:
            config = self.load(first, seed)
            budget = budget_of(store, first.experiment(self.name, seed), config)
            found, left_out = controls(budget, config)
            say(
                f"seed {seed}: {first.title} sampled {budget.sampled_tokens:,} tokens and trained "
                f"{budget.steps:,} steps; controls are held to that"
            )
            arms += [(arm, seed) for arm in found]
        return arms, left_out


def _load(config: str, settings: Sequence[str]) -> LoadedConfig:
    from pipeline.config import load_config

    return load_config(Path(config), settings)


def _tell(home: Home, plan: _Plan, arms: Sequence[Arm], left_out: Sequence[str], *, as_json: bool) -> None:
    """The table and the page."""
    from dataclasses import asdict

    from pipeline.ablation import arm_line, base_line
    from pipeline.report.ablation import COLUMNS, cells, write_ablation
    from pipeline.store import Store

    store = Store(home)
    names = {arm.title: [arm.experiment(plan.name, seed) for seed in plan.settings] for arm in arms}
    lines: list[ArmLine] = [arm_line(store, arm, names[arm.title]) for arm in arms]
    lines.append(base_line(store, names[arms[0].title]))
    page = write_ablation(home, names[arms[0].title][0], f"Ablation of {plan.name}", lines)
    if as_json:
        experiments = [*names.values(), []]
        print_json(
            {
                "arms": [
                    {**asdict(line), "experiments": of_arm}
                    for line, of_arm in zip(lines, experiments, strict=True)
                ],
                "left_out": left_out,
                "report": str(page),
            }
        )
        return
    print()
    print_table(COLUMNS, [cells(line, lines[0]) for line in lines], right=frozenset(COLUMNS[1:]))
    for line in lines:
        if line.note:
            say(f"{line.title}: {line.note}")
    for reason in left_out:
        say(f"left out: {reason}")
    print(f"\nreport: {page}")
