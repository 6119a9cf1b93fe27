"""`star reports`: the questions that are asked often, answered without SQL."""

from __future__ import annotations

from pathlib import Path

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment, store_of
from pipeline.cli.rows import Format, check_target, write_answer
from pipeline.cli.terminal import print_json, say

PANEL = "Look"


def register(app: typer.Typer) -> None:
    add(
        app,
        reports,
        PANEL,
        "star reports                                  which there are, and what a row of each is",
        "star reports solved_by_round gsm8k",
        "star reports rejections gsm8k --round 3",
        "star reports cost_by_round gsm8k --gpu-hour 2.5",
        "star reports training_lineage gsm8k --round 3 --format parquet --out lineage.parquet",
    )


def reports(
    ctx: typer.Context,
    name: str | None = typer.Argument(None, metavar="REPORT", help="Its name. Default: list them."),
    experiment: str | None = typer.Argument(None, metavar="EXPERIMENT", help="Name of the experiment."),
    round_: int | None = typer.Option(None, "--round", min=0, help="Rows of this round alone."),
    gpu_hour: float | None = typer.Option(
        None, "--gpu-hour", min=0, metavar="PRICE", help="Of one GPU. Default: prices.gpu_hour of the site."
    ),
    form: Format = typer.Option(Format.TABLE, "--format", help="How rows are written."),
    out: Path | None = typer.Option(None, "--out", metavar="FILE", help="Write to this file, not stdout."),
    limit: int | None = typer.Option(None, min=1, help="Write at most this many rows."),
    json: bool = typer.Option(False, "--json", help="As --format json."),
) -> None:
    """Answer one of the shipped questions to the tables, or list them. Each is a file of sql/reports/."""
    from pipeline.config.site import load_site
    from pipeline.store.reports import report_named

    if name is None:
        _list(json or form is Format.JSON)
        return
    report = report_named(name)
    if experiment is None:
        raise typer.BadParameter(
            f"of which experiment? star reports {name} EXPERIMENT", param_hint="EXPERIMENT"
        )
    form = Format.JSON if json else form
    check_target(form, out)
    store = store_of(ctx)
    given = {"experiment": known_experiment(store, experiment), "round": round_, "gpu_hour": gpu_hour}
    for price, value in load_site(home_of(ctx)).config.prices.parameters.items():
        if given.get(price) is None and price in report.parameters:
            given[price] = value
    with store.answer(*report.asked(given)) as found:
        write_answer(found, form, out, limit)
    if form is Format.TABLE and report.columns:
        say(report.columns)


def _list(as_json: bool) -> None:
    from pipeline.store.reports import all_reports

    known = all_reports()
    if as_json:
        print_json(
            [
                {
                    "report": report.name,
                    "grain": report.grain,
                    "columns": report.columns,
                    "parameters": sorted(report.parameters),
                }
                for report in known
            ]
        )
        return
    wide = max(len(report.name) for report in known)
    for report in known:
        print(f"{report.name:{wide}}  {report.grain}")
    say("ask one: star reports REPORT EXPERIMENT")
