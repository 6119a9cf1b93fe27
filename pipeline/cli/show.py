"""`star show`: what the model wrote, what the grader said of it, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import known_experiment, known_round, store_of
from pipeline.cli.terminal import clean, console, print_json, say

PANEL = "Look"
_COLOURS = {"correct": "green", "wrong": "red", "ungraded": "yellow"}


def register(app: typer.Typer) -> None:
    add(
        app,
        show,
        PANEL,
        "star show gsm8k --round 1",
        "star show gsm8k --problem 3f2a --origin rationalized --limit 50",
        "star show gsm8k --fate hint_leaked",
        "star show gsm8k --outcome ungraded --json",
    )


def show(
    ctx: typer.Context,
    experiment: str = typer.Argument(help="Name of the experiment."),
    round_: int | None = typer.Option(
        None, "--round", min=0, help="Only this round. Default: all, newest first."
    ),
    problem: str | None = typer.Option(
        None, "--problem", metavar="ID", help="Only this problem: its id, or how it begins."
    ),
    origin: str | None = typer.Option(None, help="generated, rationalized, evaluated or imported."),
    outcome: str | None = typer.Option(None, help="correct, wrong or ungraded."),
    fate: str | None = typer.Option(
        None, help="kept, or a reason why not: wrong, cut_off, duplicate, hint_leaked, ..."
    ),
    limit: int = typer.Option(10, min=1, help="At most this many attempts."),
    json: bool = typer.Option(False, "--json", help="One JSON document per attempt on stdout."),
) -> None:
    """Show rationales with the question, the verdict and what became of them.

    Control sequences are stripped: what a model writes may try to drive a terminal.
    """
    from pipeline.records import RejectionReason

    store = store_of(ctx)
    known_experiment(store, experiment)
    known_round(store, experiment, round_)
    rows = store.rows(
        "attempts_with_fate",
        experiment=experiment,
        round=round_,
        problem_id=_problem_id(store.rows("problem_ids", experiment=experiment, beginning=problem), problem),
        origin=_one_of("--origin", origin, "generated rationalized evaluated imported"),
        outcome=_one_of("--outcome", outcome, "correct wrong ungraded"),
        fate=_one_of("--fate", fate, f"kept pending {' '.join(RejectionReason)}"),
        limit=limit,
    )
    for row in rows:
        if json:
            print_json(row)
        else:
            _print(row)
    if not rows and not json:
        say("no attempt fits; drop a filter, or see what there is: star status " + experiment)
    elif len(rows) == limit and not json:
        say(f"the first {limit}; more with --limit")


def _one_of(option: str, value: str | None, words: str) -> str | None:
    from pipeline.errors import ConfigError

    if value is not None and value not in words.split():
        raise ConfigError(f"{option} {value!r}: expected one of {', '.join(words.split())}")
    return value


def _problem_id(found: list[dict[str, Any]], asked: str | None) -> str | None:
    """The one problem whose id is, or begins with, what was asked for."""
    from pipeline.errors import NotReadyError

    if asked is None:
        return None
    names = [str(row["problem_id"]) for row in found]
    if asked in names:
        return asked
    if len(names) == 1:
        return names[0]
    if names:
        raise NotReadyError(
            f"{len(names)} problems begin with {asked!r}: {', '.join(names[:5])}, ...; give more of it"
        )
    raise NotReadyError(f"no problem begins with {asked!r}; problem ids stand in the output of `star show`")


def _print(row: Mapping[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    outcome = row["outcome"] or "not graded yet"
    head = Text(f"round {row['round']} {row['origin']}", style="bold")
    head.append(
        f"  problem {clean(row['problem_id'])}, sample {row['sample']}, {row['prompt_style']}", "not bold"
    )
    head.append(f"  {outcome}", _COLOURS.get(outcome, ""))
    if row["verdict_reason"]:
        head.append(f" ({clean(row['verdict_reason'])})", "not bold")
    if row["fate"] and row["fate"] != outcome:  # else the verdict is why it was left out, and said already
        head.append(
            f"  {row['fate']}" + (f": {clean(row['fate_detail'])}" if row["fate_detail"] else ""), "cyan"
        )
    out.print(head, soft_wrap=True)
    choices = "".join(f"\n({key}) {text}" for key, text in (row["choices"] or {}).items())
    out.print(Padding(Text(clean(f"{row['question']}{choices}"), style="dim"), (0, 0, 0, 2)))
    out.print(Padding(Text(clean(row["text"]) or "(empty)"), (0, 0, 0, 2)))
    hint = f"; hint shown: {row['hint']!r}" if row["hint"] else ""
    found = "nothing" if row["answer"] is None else repr(row["answer"])
    facts = (
        f"gold {row['gold']!r}, found {found}, ended by {row['finish_reason']}, "
        f"{row['completion_tokens']} tokens, model {row['model_hash'][:12]}{hint}"
    )
    out.print(Padding(Text(clean(facts), style="dim"), (0, 0, 1, 2)))
