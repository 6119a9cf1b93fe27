"""`star report`, `star export` and `star fork`: what comes out of an experiment, and what goes on from it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment, recorded_config, store_of
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import print_json, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.export import Layout
    from pipeline.export.counts import Counts
    from pipeline.store import Store

PANEL = "Use"


class What(StrEnum):
    """What can be exported."""

    TRAINING = "training"
    PREFERENCES = "preferences"
    PROBLEMS = "problems"
    RATIONALES = "rationales"
    MODEL = "model"


class Shape(StrEnum):
    """How prompts and texts of an exported dataset are written."""

    PLAIN = "plain"
    CHAT = "chat"


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
        "star export gsm8k --what training --round 3 --to data/gsm8k-r3     prompt and completion, for SFT",
        "star export gsm8k --what training --as chat --to data/gsm8k-chat     messages with roles",
        "star export gsm8k --what preferences --pairs 4 --to data/pairs     kept against wrong, for DPO",
        "star export gsm8k --what problems --to data/gsm8k-rl     prompt and answer, for GRPO",
        "star export gsm8k --what rationales --to data/gsm8k-all --format jsonl",
        "star export gsm8k --what training --to data/gsm8k --licence mit --push me/gsm8k-star",
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
    what: What = typer.Option(
        ...,
        metavar="WHAT",
        help="training: rows of a round; preferences: pairs of a kept and a wrong text of one problem; "
        "problems: train problems with answers; rationales: all attempts with verdicts and flags; model.",
    ),
    to: Path = typer.Option(..., metavar="DIR", help="Folder to write; must not hold anything yet."),
    round_: str | None = typer.Option(
        None,
        "--round",
        metavar="N|best|all",
        help="The round; `best` by dev accuracy (without dev problems the newest); `all` for preferences and "
        "rationales. Default: best, and for rationales all. Problems are of no round.",
    ),
    shape: Shape = typer.Option(
        Shape.PLAIN,
        "--as",
        help="Prompts and texts as plain text or as chat messages with roles, whichever was trained on.",
    ),
    pairs: int | None = typer.Option(
        None, min=1, help="Preference pairs that a problem gives at most. Default: 1."
    ),
    seed: int | None = typer.Option(
        None, min=0, help="Seed that draws preference pairs. Default: the experiment's."
    ),
    form: FileFormat = typer.Option(FileFormat.PARQUET, "--format", help="Files of a dataset."),
    licence: str | None = typer.Option(
        None,
        "--licence",
        "--license",
        help="Licence to name in the card, as the hub calls it, such as apache-2.0.",
    ),
    push: str | None = typer.Option(
        None,
        metavar="REPO",
        help="Also upload the folder to this repository of the Hugging Face hub, made where there is none. "
        "Needs a token (HF_TOKEN, or `hf auth login`).",
    ),
    public: bool = typer.Option(
        False, "--public", help="Make a new repository of --push public. Default: private."
    ),
    force: bool = typer.Option(False, "--force", help="Replace what the folder holds."),
    json: bool = typer.Option(False, "--json", help="What was written, as JSON on stdout."),
) -> None:
    """Write a dataset or a model in the layout of the Hugging Face hub, with a card of its origin.

    Training rows, preferences and problems have the columns that TRL's trainers read. The card counts what
    was written and what was left out, and why. The model comes with its tokenizer, generation config and
    lineage.json. Nothing is uploaded without --push.
    """
    from pipeline import export as exporting
    from pipeline.export.cards import valid_licence

    _refuse_what_does_not_fit(what, round_, shape, pairs=pairs, seed=seed, push=push, public=public)
    valid_licence(licence)
    if push is not None:
        exporting.require_pushable(push)
    store = store_of(ctx)
    known_experiment(store, experiment)
    target = to.expanduser()
    number = _round(ctx, experiment, what, round_)
    if what is What.MODEL:
        assert number is not None, "a model is of one round"
        digest = exporting.export_model(
            store, home_of(ctx), experiment, number, target, licence=licence, force=force
        )
        written: dict[str, object] = {"round": number, "content_hash": digest}
        text = f"the model of round {number} ({digest[:12]}) to {target}"
    else:
        layout = exporting.Layout(form=form.value, chat=shape is Shape.CHAT, licence=licence, force=force)
        counts = _export_dataset(store, experiment, what, number, target, layout, pairs or 1, seed)
        written = {**({} if what is What.PROBLEMS else {"round": number}), **counts.table()}
        text = f"{_described(what, counts.rows, number)} to {target}{counts.said_of_left_out()}"
    if not json:
        say(f"wrote {text}")
    if push is not None:
        kind: Literal["dataset", "model"] = "model" if what is What.MODEL else "dataset"
        written["pushed"] = exporting.push(target, push, kind, private=not public)
        if not json:
            say(f"pushed it: {written['pushed']}")
    if json:
        print_json({"experiment": experiment, "what": what.value, "to": str(target), **written})


def _export_dataset(
    store: Store,
    experiment: str,
    what: What,
    round_: int | None,
    to: Path,
    layout: Layout,
    pairs: int,
    seed: int | None,
) -> Counts:
    from pipeline.export import export_preferences, export_problems, export_rationales, export_training

    if what is What.TRAINING:
        assert round_ is not None, "training rows are of one round"
        return export_training(store, experiment, round_, to, layout)
    if what is What.PREFERENCES:
        return export_preferences(store, experiment, round_, to, layout, pairs=pairs, seed=seed)
    if what is What.PROBLEMS:
        return export_problems(store, experiment, to, layout)
    return export_rationales(store, experiment, round_, to, layout)


def _described(what: What, rows: int, round_: int | None) -> str:
    """`1,239 training rows of round 3`."""
    if what is What.PROBLEMS:
        return counted(rows, "train problem")
    nouns = {
        What.TRAINING: "training row",
        What.PREFERENCES: "preference pair",
        What.RATIONALES: "attempt",
    }
    return f"{counted(rows, nouns[what])} of {'all rounds' if round_ is None else f'round {round_}'}"


def _refuse_what_does_not_fit(
    what: What,
    round_: str | None,
    shape: Shape,
    *,
    pairs: int | None,
    seed: int | None,
    push: str | None,
    public: bool,
) -> None:
    """ConfigError for an option that would be without effect."""
    from pipeline.errors import ConfigError

    wrong = (
        ("--as chat", shape is Shape.CHAT and what in (What.RATIONALES, What.MODEL), "another --what"),
        ("--pairs", pairs is not None and what is not What.PREFERENCES, "--what preferences"),
        ("--seed", seed is not None and what is not What.PREFERENCES, "--what preferences"),
        ("--round", round_ is not None and what is What.PROBLEMS, "another --what: problems are of no round"),
        ("--public", public and push is None, "--push REPO"),
    )
    for option, given, wants in wrong:
        if given:
            raise ConfigError(f"{option} goes with {wants} (given --what {what.value})")


def _round(ctx: typer.Context, experiment: str, what: What, asked: str | None) -> int | None:
    """The round that --round means; None for all, and for what is of no round."""
    from pipeline.errors import ConfigError
    from pipeline.export import best_round

    wanted = asked or ("all" if what in (What.RATIONALES, What.PROBLEMS) else "best")
    if wanted == "all":
        if what in (What.TRAINING, What.MODEL):
            raise ConfigError(f"--round all: --what {what.value} is of one round; give its number or best")
        return None
    if wanted == "best":
        number = best_round(store_of(ctx), experiment)
        say(f"best round of {experiment}: {number}")
        return number
    if not wanted.isdecimal():
        raise ConfigError(f"--round {wanted!r}: expected a number, best or all")
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
