"""`star launch` and `star fail`: what Airflow asks for before the first stage, and when a task was ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, is_experiment, load_named, recorded_config
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import print_json, say

if TYPE_CHECKING:
    from pipeline.config import LoadedConfig
    from pipeline.paths import Home

PANEL = "Run"


def register(app: typer.Typer) -> None:
    add(app, launch, PANEL, "star launch gsm8k --experiment gsm8k-2026-11-21 --set generate.samples=8")
    add(app, fail, PANEL, "star fail train gsm8k --round 1 --reason 'out of memory'")


def launch(
    ctx: typer.Context,
    target: str = typer.Argument(metavar="CONFIG", help="A YAML file or the name of a shipped config."),
    experiment: str = typer.Option(..., help="Name of the experiment; where it exists, it goes on."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    continue_newest: bool = typer.Option(
        False,
        "--continue-newest",
        help="Go on with the newest experiment of this config, if new problems have arrived for it.",
    ),
    json: bool = typer.Option(False, "--json", help="What was launched as JSON on stdout."),
) -> None:
    """Write down the config that the stages of an experiment go by, as Airflow does before the first of them.

    An experiment that exists keeps its config, and `--set` changes how it goes on (rounds, shards).
    """
    from pipeline.launch import launch as write_down
    from pipeline.paths import validate_experiment
    from pipeline.progress import default_progress

    home = home_of(ctx)
    new = not is_experiment(home, validate_experiment(experiment))
    loaded = load_named(target, set_, experiment) if new else recorded_config(home, experiment, set_)
    if continue_newest:
        found = _newest(home, load_named(target, set_, experiment), json)
        if found is None:
            return
        new, loaded = loaded.experiment == found.experiment, found
    session = write_down(home, loaded.experiment, loaded, default_progress())
    path = home.launched_config(loaded.experiment)
    if json:
        config = session.config
        told = {"experiment": loaded.experiment, "config": home.relative(path), "new": new}
        print_json({**told, "rounds": config.rounds, "shards": config.shards})
    else:
        say(f"wrote {path}; run it: star run {path}")


def _newest(home: Home, loaded: LoadedConfig, as_json: bool) -> LoadedConfig | None:
    """`loaded` as the newest experiment of it goes on by; itself where there is none; None: nothing new."""
    from pipeline.launch import newest_of

    newest = newest_of(home, loaded.config)
    if newest is None:
        return loaded
    if newest.arrived is None:
        nothing = f"no new problems have arrived for {newest.experiment}, the newest of its config"
        if as_json:
            print_json({"nothing_new": nothing})
        else:
            say(nothing)
        return None
    say(f"{newest.experiment} goes on after round {newest.last_round}: {newest.arrived}")
    rounds = newest.last_round + loaded.config.rounds
    return replace(
        loaded, experiment=newest.experiment, config=loaded.config.model_copy(update={"rounds": rounds})
    )


def fail(
    ctx: typer.Context,
    name: str = typer.Argument(metavar="STAGE", help="Its name: prepare, generate, verify_generated, ..."),
    experiment: str = typer.Argument(metavar="EXPERIMENT", help="Name of the experiment."),
    round_: int = typer.Option(..., "--round", min=0, help="The round, 0 for the base model."),
    shard: int = typer.Option(0, min=0, help="The shard, counted from 0."),
    reason: str = typer.Option(..., help="What ended it."),
) -> None:
    """Record that a stage was ended before it could say so itself: killed, or out of time.

    Airflow's failure callback calls this. A stage that has recorded how it ended is left alone.
    """
    from pipeline.cli.context import known_experiment, store_of
    from pipeline.errors import ConfigError
    from pipeline.rounds import STAGES, WRITE
    from pipeline.store import StageKey

    names = [stage.name for stage in STAGES]
    if name not in (*names, WRITE.name):
        raise ConfigError(f"{name!r} is no stage; expected one of {', '.join([*names, WRITE.name])}")
    store = store_of(ctx)
    known = known_experiment(store, experiment)
    for stage in WRITE.stages if name == WRITE.name else (name,):
        store.fail(StageKey(known, round_, stage), shard=shard, error=reason)
