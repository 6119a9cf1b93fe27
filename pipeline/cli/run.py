"""`star run` and `star stage`: the loop, and one stage of one round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, load_named, session_for, store_of
from pipeline.cli.rounds_table import RoundsPrinter
from pipeline.cli.terminal import print_json, say

if TYPE_CHECKING:
    from pipeline.runner import Session

PANEL = "Run"
SET_HELP = "Change a value of the config, for example generate.samples=4; may be given several times."


def register(app: typer.Typer) -> None:
    add(
        app,
        run,
        PANEL,
        "star run configs/gsm8k.yaml",
        "star run gsm8k --experiment gsm8k-k8 --set generate.samples=8 --set generate.temperature=0.7",
        "star run gsm8k --rounds 5      goes on with an experiment that exists",
        "star run gsm8k --until select",
        "star run gsm8k --gpus 4 --set shards=4",
    )
    add(
        app,
        stage,
        PANEL,
        "star stage generate gsm8k --round 1 --shard 0/4",
        "star stage prepare gsm8k-new --round 0 --config configs/gsm8k.yaml",
        "star stage write gsm8k --round 1      generate to verify_rationalized, with one start of the engine",
        "star stage train gsm8k --round 2 --force",
    )


def run(
    ctx: typer.Context,
    target: str = typer.Argument(
        metavar="CONFIG|EXPERIMENT",
        help="A YAML file, the name of a shipped config, or an experiment that exists.",
    ),
    experiment: str | None = typer.Option(
        None, help="Name of the experiment. Default: what the config says, else the name of its file."
    ),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    rounds: int | None = typer.Option(None, min=0, help="Rounds after round 0, instead of the config's."),
    until: str | None = typer.Option(
        None, metavar="STAGE", help="Stop after this stage of the first unfinished round."
    ),
    gpus: str | None = typer.Option(
        None,
        metavar="N|I,J,...",
        help="Run the shards of a stage at the same time, each on a GPU of its own "
        "(engine.tensor_parallel of them): the first N, or those with these indices.",
    ),
    json: bool = typer.Option(
        False, "--json", help="One JSON document per round on stdout, then the decision."
    ),
) -> None:
    """Run an experiment: rounds of generate, verify, rationalize, select, train, evaluate.

    What is done is skipped, so the same command goes on after an interruption, and with more --rounds it adds
    rounds. One line per round goes to stdout; what is being done to stderr.
    """
    from pipeline.errors import StoppedByGateError
    from pipeline.gpus import take_gpus
    from pipeline.progress import default_progress
    from pipeline.runner import run_experiment
    from pipeline.stages.decide import GATE

    taken = take_gpus(gpus) if gpus is not None else ()
    session = session_for(home_of(ctx), target, set_, experiment, default_progress())
    printer = RoundsPrinter(session.store, session.experiment, as_json=json)
    reason = run_experiment(session, rounds=rounds, until=until, gpus=taken, on_round=printer.show)
    if json:
        print_json({"experiment": session.experiment, "reason": reason})
    else:
        say(f"{session.experiment}: {reason}")
        say(f"look into it: star report {session.experiment}; star show {session.experiment}")
    if reason.startswith(GATE):
        raise typer.Exit(StoppedByGateError.exit_code)


def stage(
    ctx: typer.Context,
    name: str = typer.Argument(metavar="STAGE", help="Its name: prepare, generate, verify_generated, ..."),
    experiment: str = typer.Argument(metavar="EXPERIMENT", help="Name of the experiment."),
    round_: int = typer.Option(..., "--round", min=0, help="The round, 0 for the base model."),
    shard: str | None = typer.Option(
        None, metavar="I/N", help="Part I of N, counted from 0. Default: all parts, one after another."
    ),
    config: str | None = typer.Option(
        None, "--config", metavar="CONFIG", help="Config of the experiment where it is new."
    ),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    rounds: int | None = typer.Option(None, min=0, help="Rounds of the loop, which decide asks for."),
    force: bool = typer.Option(False, "--force", help="Run again although it is done with today's inputs."),
    within: str | None = typer.Option(None, hidden=True, help="Holder of the lease that `star run` has."),
    json: bool = typer.Option(False, "--json", help="The outcome as JSON on stdout."),
) -> None:
    """Run one stage of one round, as Airflow does. A stage that is done with today's inputs is left alone."""
    from pipeline.progress import default_progress
    from pipeline.runner import open_session, run_stage

    home, progress = home_of(ctx), default_progress()
    index, shards = _parse_shard(shard)
    if config is not None:
        session = open_session(home, experiment, load_named(config, set_, experiment), progress)
    else:
        session = session_for(home, _recorded(ctx, experiment), set_, None, progress)
    outcomes = run_stage(
        session, name, round_, shard=index, shards=shards, force=force, rounds=rounds, within=within
    )
    if json:
        outcome = {"experiment": experiment, "round": round_, "stage": name, "outcomes": outcomes}
        print_json({**outcome, **_of_round(session, name, round_)})
    elif set(outcomes) == {"was done"}:
        say(f"{name} of round {round_} of {experiment} was done with these inputs; --force runs it again")


def _of_round(session: Session, name: str, round_: int) -> dict[str, Any]:
    """What an orchestrator goes by: prepare says which stages and shards follow, decide which round."""
    from dataclasses import asdict

    from pipeline.launch import what_follows
    from pipeline.report.tables import round_sentence
    from pipeline.rounds import tasks_of

    if name == "prepare":
        return {"stages": tasks_of(round_, session.config), "shards": session.config.shards}
    if name == "decide":
        rows = session.store.rows("rounds_summary", experiment=session.experiment)
        row = next(row for row in rows if row["round"] == round_)
        told = {"decision": row["decision"], "reason": row["reason"], "sentence": round_sentence(row)}
        return {**told, "next": asdict(what_follows(session, round_))}
    return {}


def _recorded(ctx: typer.Context, experiment: str) -> str:
    """The name itself where the store has it; otherwise an error that asks for --config."""
    from pipeline.cli.context import is_experiment
    from pipeline.errors import NotReadyError
    from pipeline.paths import validate_experiment

    if is_experiment(home_of(ctx), validate_experiment(experiment)):
        return experiment
    raise NotReadyError(
        f"experiment {experiment!r} is not in the store {store_of(ctx)}; "
        f"name the config it is to be made from: star stage prepare {experiment} --round 0 --config CONFIG"
    )


def _parse_shard(shard: str | None) -> tuple[int | None, int | None]:
    """`2/4` as (2, 4); ConfigError where it is not of that form."""
    from pipeline.errors import ConfigError

    if shard is None:
        return None, None
    index, slash, shards = shard.partition("/")
    if not (slash and index.isdecimal() and shards.isdecimal() and int(index) < int(shards)):
        raise ConfigError(
            f"--shard {shard!r} is not of the form I/N with I from 0 to N-1; for example --shard 0/4"
        )
    return int(index), int(shards)
