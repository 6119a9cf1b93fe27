"""`star check` and `star sql`: invariants, and any question to the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import known_experiment, known_round, store_of
from pipeline.cli.rows import Format, check_target, write_answer
from pipeline.cli.terminal import clean, print_json, say
from pipeline.counted import counted

PANEL = "Look"


def register(app: typer.Typer) -> None:
    add(
        app,
        check,
        PANEL,
        "star check",
        "star check gsm8k --round 2",
        "star check gsm8k --deep",
        "star check --json",
    )
    add(
        app,
        sql,
        PANEL,
        'star sql "select * from rounds_summary"',
        'star sql "select origin, outcome, count(*) from current_rationales group by all" --format csv',
        'star sql "select * from training_lineage" --format parquet --out lineage.parquet',
        'star sql "show tables"',
    )


def check(
    ctx: typer.Context,
    experiment: str | None = typer.Argument(None, help="Name of the experiment. Default: all."),
    round_: int | None = typer.Option(None, "--round", min=0, help="Only this round."),
    deep: bool = typer.Option(
        False, "--deep", help="Hash every shard file again, and compare its rows with those in the store."
    ),
    limit: int = typer.Option(5, min=1, help="Offending rows shown per check."),
    json: bool = typer.Option(False, "--json", help="All offending rows as JSON on stdout."),
) -> None:
    """Check the invariants: training rows are verified, canonical, not held out; counts add up; and so on.

    Leaves with 70 if a row offends or, with --deep, a shard file is damaged: each is named.
    """
    from pipeline.progress import default_progress
    from pipeline.store.checks import CHECKS, run_checks
    from pipeline.store.maintenance import DEEP_CHECKS, deep_check

    store = store_of(ctx)
    if experiment is None:
        names = [row["experiment"] for row in store.rows("all_experiments")]
    else:
        names = [known_experiment(store, experiment)]
        known_round(store, experiment, round_)
    offences = [(name, offence) for name in names for offence in run_checks(store, name, round_)]
    if deep:
        progress = default_progress()
        for name in names:
            offences += [(name, offence) for offence in deep_check(store, name, round_, progress)]
    checks = (*CHECKS, *DEEP_CHECKS) if deep else CHECKS
    if json:
        print_json(
            [{"experiment": name, "check": offence.check, "row": offence.row} for name, offence in offences]
        )
    else:
        for name in names:
            _print_checks(name, [offence for owner, offence in offences if owner == name], checks, limit)
        experiments, rows = counted(len(names), "experiment"), counted(len(offences), "offending row")
        say(f"{experiments}, {len(checks)} invariants each: {rows}")
    if offences:
        raise typer.Exit(70)


def _print_checks(experiment: str, offences: Sequence[Any], checks: Sequence[str], limit: int) -> None:
    print(f"{experiment}")
    for name in checks:
        mine = [offence for offence in offences if offence.check == name]
        print(f"  {'FAILED' if mine else 'ok    '}  {name.replace('_', ' ')}")
        for offence in mine[:limit]:
            print("          " + clean(", ".join(f"{key}={value!r}" for key, value in offence.row.items())))
        if len(mine) > limit:
            print(f"          and {len(mine) - limit:,} more; all of them: star check {experiment} --json")


def sql(
    ctx: typer.Context,
    query: str = typer.Argument(metavar="QUERY", help="One SQL query, as DuckDB understands it."),
    form: Format = typer.Option(Format.TABLE, "--format", help="How rows are written."),
    out: Path | None = typer.Option(
        None, "--out", metavar="FILE", help="Write to this file instead of stdout."
    ),
    limit: int | None = typer.Option(None, min=1, help="Write at most this many rows."),
    json: bool = typer.Option(False, "--json", help="As --format json."),
) -> None:
    """Ask the tables: read-only, on a snapshot, so that nothing waits and nothing can be changed.

    Tables and views: experiments, rounds, rounds_summary, stage_runs, current_problems, current_rationales
    (with verdicts), current_training_rows, current_rejections, current_evaluations, current_checkpoints,
    training_lineage, checkpoint_lineage. Questions that are asked often need no SQL: star reports.
    """
    form = Format.JSON if json else form
    check_target(form, out)
    with store_of(ctx).answer(query) as found:
        write_answer(found, form, out, limit)
