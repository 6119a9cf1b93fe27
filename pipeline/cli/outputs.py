"""`star report`, `star export` and `star fork`: what comes out of an experiment, and what goes on from it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment, recorded_config, store_of
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import print_json, say
from pipeline.counted import counted

PANEL = "Use"


class What(StrEnum):
    """What can be exported."""

    TRAINING = "training"
    RATIONALES = "rationales"
    MODEL = "model"


class FileFormat(StrEnum):
    """Files of an exported dataset."""

    PARQUET = "parquet"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    add(app, report, PANEL, "star report gsm8k --open", "star report gsm8k gsm8k-no-hint     side by side")
    add(
        app,
        export,
        PANEL,
        "star export gsm8k --what model --round best --to models/gsm8k",
        "star export gsm8k --what training --round 3 --to data/gsm8k-r3",
        "star export gsm8k --what rationales --to data/gsm8k-all --format jsonl",
    )
    add(
        app,
        fork,
        PANEL,
        "star fork gsm8k gsm8k-strict --from-round 2 --set select.min_correct=2",
        "star fork gsm8k gsm8k-longer --from-round 5 --set rounds=10",
    )


def report(
    ctx: typer.Context,
    experiments: list[str] = typer.Argument(
        metavar="EXPERIMENT...", help="Name of the experiment; several are put side by side."
    ),
    open_: bool = typer.Option(False, "--open", help="Open the page in the browser."),
    json: bool = typer.Option(False, "--json", help="Where the page is, as JSON on stdout."),
) -> None:
    """Write the report of an experiment: one HTML page with tables, plots and examples; plots also as PNG."""
    from pipeline.report.write import write_comparison, write_report

    store, home = store_of(ctx), home_of(ctx)
    names = [known_experiment(store, name) for name in experiments]
    path = write_report(home, names[0])
    if len(names) > 1:
        path = write_comparison(home, {name: name for name in names})
    if json:
        print_json({"report": str(path), "plots": sorted(str(png) for png in path.parent.glob("*.png"))})
    else:
        print(path)
    if open_:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            say("no browser was found; open the page by hand")


def export(
    ctx: typer.Context,
    experiment: str = typer.Argument(help="Name of the experiment."),
    what: What = typer.Option(..., help="Training rows of a round, attempts with verdicts, or a model."),
    to: Path = typer.Option(..., metavar="DIR", help="Folder to write; must not hold anything yet."),
    round_: str | None = typer.Option(
        None,
        "--round",
        metavar="N|best",
        help="The round; `best` by dev accuracy (without dev problems the newest). "
        "Default: best, and for rationales all rounds.",
    ),
    form: FileFormat = typer.Option(FileFormat.PARQUET, "--format", help="Files of a dataset."),
    force: bool = typer.Option(False, "--force", help="Replace what the folder holds."),
    json: bool = typer.Option(False, "--json", help="What was written, as JSON on stdout."),
) -> None:
    """Write a dataset or a model in the layout of the Hugging Face hub, with a card of its origin.

    The model comes with its tokenizer, generation config and lineage.json. Nothing is uploaded.
    """
    from pipeline.export import export_model, export_rationales, export_training

    store, home = store_of(ctx), home_of(ctx)
    known_experiment(store, experiment)
    number = _round(ctx, experiment, round_, default=None if what is What.RATIONALES else "best")
    target = to.expanduser()
    if what is What.MODEL:
        assert number is not None, "a model is of one round"
        digest = export_model(store, home, experiment, number, target, force=force)
        written: dict[str, object] = {"round": number, "content_hash": digest}
        text = f"the model of round {number} ({digest[:12]})"
    elif what is What.TRAINING:
        assert number is not None, "training rows are of one round"
        counts = export_training(store, experiment, number, target, form=form.value, force=force)
        written = {"round": number, **counts.table()}
        text = f"{counted(counts.rows, 'training row')} of round {number}"
    else:
        counts = export_rationales(store, experiment, number, target, form=form.value, force=force)
        written = {"round": number, **counts.table()}
        text = f"{counted(counts.rows, 'attempt')} of {'all rounds' if number is None else f'round {number}'}"
    if json:
        print_json({"experiment": experiment, "what": what.value, "to": str(target), **written})
    else:
        say(f"wrote {text} to {target}")


def _round(ctx: typer.Context, experiment: str, asked: str | None, default: str | None) -> int | None:
    """The round that --round means; None for all."""
    from pipeline.errors import ConfigError
    from pipeline.export import best_round

    wanted = asked if asked is not None else default
    if wanted is None:
        return None
    if wanted == "best":
        number = best_round(store_of(ctx), experiment)
        say(f"best round of {experiment}: {number}")
        return number
    if not wanted.isdecimal():
        raise ConfigError(f"--round {wanted!r}: expected a number or best")
    return int(wanted)


def fork(
    ctx: typer.Context,
    experiment: str = typer.Argument(help="Name of the experiment to go on from."),
    new: str = typer.Argument(help="Name of the new one."),
    from_round: int = typer.Option(..., "--from-round", min=0, help="The last round to keep."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    json: bool = typer.Option(False, "--json", help="What was copied, as JSON on stdout."),
) -> None:
    """Go on from a round of an experiment under a new name and with other settings.

    The rounds up to it are taken over with all their rows, and their checkpoints as hard links: nothing is
    computed twice, and the old experiment stays as it is.
    """
    from pipeline.fork import fork as fork_experiment

    store, home = store_of(ctx), home_of(ctx)
    known_experiment(store, experiment)
    config = recorded_config(home, experiment, set_).config
    forked = fork_experiment(store, home, experiment, new, from_round, config)
    if json:
        print_json({"experiment": new, "rounds": forked.rounds})
        return
    say(f"{new} has rounds 0 to {from_round} of {experiment}")
    for round_ in forked.without_checkpoint:
        say(f"the checkpoint of round {round_} is no longer on disk and was not taken over")
    say(f"go on: star run {new}")
