"""`star regrade`: other verdicts on what is stored, without generating anything again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of
from pipeline.cli.terminal import clean, print_json, print_table, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.regrade import Flip, RoundRegraded

PANEL = "Look"


def register(app: typer.Typer) -> None:
    add(
        app,
        regrade,
        PANEL,
        "star regrade gsm8k --grader strict.yaml",
        "star regrade gsm8k --grader strict.yaml --round 2 --flips 50",
    )


def regrade(
    ctx: typer.Context,
    experiment: str = typer.Argument(help="Name of the experiment."),
    grader: Path = typer.Option(
        ..., "--grader", metavar="FILE", help="YAML of a grader, or a config: its verify.grader."
    ),
    round_: int | None = typer.Option(None, "--round", min=0, help="Only this round."),
    flips: int = typer.Option(10, min=0, help="Flipped verdicts shown per round."),
    json: bool = typer.Option(False, "--json", help="Every flip as JSON on stdout."),
) -> None:
    """Grade the stored attempts again with another grader and say what would have been different.

    The verdicts are stored beside the old ones under the new grader's digest. They decide nothing: training
    sets and checkpoints stay as they are. `star fork` with --set verify.grader goes on with the other grader.
    """
    from pipeline.graders.batch import load_grader
    from pipeline.progress import default_progress
    from pipeline.regrade import regrade as grade_again
    from pipeline.runner import open_session

    loaded = load_grader(grader)
    session = open_session(home_of(ctx), experiment, None, default_progress())
    rounds = list(grade_again(session, loaded, round_))
    if json:
        print_json([_document(each) for each in rounds])
        return
    for each in rounds:
        _show(each, flips)
    _show_totals(rounds)


def _document(each: RoundRegraded) -> dict[str, Any]:
    return {**asdict(each), "outcomes": dict(each.outcomes), "flips": [asdict(flip) for flip in each.flips]}


def _show(each: RoundRegraded, limit: int) -> None:
    if not each.flips:
        say(f"round {each.round}: no verdict of {each.attempts:,} flips")
        return
    say(f"round {each.round}: {len(each.flips):,} of {counted(each.attempts, 'verdict')} flip")
    rows = [_flip_row(flip) for flip in each.flips[:limit]]
    print_table(["problem", "origin", "before", "after", "gold", "text ends"], rows)
    if len(each.flips) > limit:
        say(f"... and {len(each.flips) - limit:,} more; --flips {len(each.flips)} or --json shows them")


def _flip_row(flip: Flip) -> list[str]:
    return [
        flip.problem_id,
        flip.origin,
        f"{flip.before} ({flip.before_reason})",
        f"{flip.after} ({flip.after_reason})",
        clean(flip.gold),
        clean(flip.text[-60:]),
    ]


def _show_totals(rounds: list[RoundRegraded]) -> None:
    print_table(
        ["round", "attempts", "correct", "wrong", "ungraded", "flips", "would keep", "gained", "lost"],
        [
            [
                str(each.round),
                f"{each.attempts:,}",
                *(f"{each.outcomes.get(outcome, 0):,}" for outcome in ("correct", "wrong", "ungraded")),
                f"{len(each.flips):,}",
                f"{each.kept:,}",
                f"+{each.gained:,}",
                f"-{each.lost:,}",
            ]
            for each in rounds
        ],
    )
