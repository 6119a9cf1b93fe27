"""`star plan`: what an experiment would give and cost, from a short run of its own first round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, load_named
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.config.site import PricesSite
    from pipeline.plan import Advice, Estimate, Measured, Pilot, Plan, RoundPlan

PANEL = "Start"


def register(app: typer.Typer) -> None:
    add(
        app,
        plan,
        PANEL,
        "star plan configs/gsm8k.yaml",
        "star plan addition --pilot 100 --set generate.samples=8",
        "star plan gsm8k --rounds 5 --json",
    )


def plan(
    ctx: typer.Context,
    config: str = typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config."),
    pilot: int = typer.Option(200, "--pilot", min=1, help="Problems to try; fewer where a round has fewer."),
    rounds: int | None = typer.Option(None, min=1, help="Rounds to plan, instead of the config's."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    again: bool = typer.Option(
        False, "--again", help="Run the pilot anew, for example because the machine was busy."
    ),
    json: bool = typer.Option(False, "--json", help="The prediction as JSON on stdout."),
) -> None:
    """Predict pass rate, kept rows, tokens, time, GPU-hours, money and disk of an experiment, with intervals.

    Runs a pilot: the base answers some of the problems of round 1 and some held-out ones, is shown answers,
    is graded and trained for a few steps, as the experiment would do it. The pilot has a home of its own in
    plans/ and is reused when the same is asked again; the experiment itself is not begun. Says what to change
    where the base solves nothing.

    Money needs prices.gpu_hour in the site's settings.
    """
    from pipeline.config.site import load_site
    from pipeline.plan import advice_of, measure, predict, run_pilot
    from pipeline.progress import default_progress

    home = home_of(ctx)
    prices = load_site(home).config.prices
    further = [] if rounds is None else [f"rounds={rounds}"]
    done = run_pilot(load_named(config, [*set_, *further]), home, pilot, default_progress(), again=again)
    measured = measure(done)
    planned, advice = predict(measured, prices), advice_of(measured)
    if json:
        print_json(as_json(done, measured, planned, advice))
        return
    _print_pilot(done, measured, planned)
    _print_rounds(planned, prices)
    _print_stages(planned)
    _print_notes(done, measured, planned, advice)


def as_json(pilot: Pilot, measured: Measured, planned: Plan, advice: Sequence[Advice]) -> dict[str, Any]:
    """The prediction as one document: estimates are objects with `value`, `low` and `high`."""
    from dataclasses import asdict

    from pipeline.plan.predict import ASSUMPTIONS

    return {
        "experiment": pilot.experiment,
        "pilot": {
            "home": str(pilot.home.root),
            "reused": pilot.reused,
            "problems": len(measured.problems),
            "attempts": measured.count("attempts"),
            "solved": measured.solved,
            "hinted_solved": measured.hinted_solved,
            "kept": measured.count("kept"),
            "seconds": measured.seconds,
        },
        **asdict(planned),
        "assumptions": ASSUMPTIONS,
        "advice": [asdict(each) for each in advice],
    }


def _print_pilot(pilot: Pilot, measured: Measured, planned: Plan) -> None:
    problems = len(measured.problems)
    ran = "was run before" if pilot.reused else f"took {measured.seconds:,.1f} s"
    print(
        f"{pilot.experiment}: a pilot of {problems:,} of the {measured.sample.problems:,} problems of round 1"
        f", {measured.count('attempts'):,} attempts by the base, {ran}"
    )
    print()
    rows = [(name, *_cells(rate, _percent)) for name, rate in planned.rates.items()]
    print_table(("share", "pilot", "low", "high"), rows, right=frozenset({"pilot", "low", "high"}))
    print()


Form = Callable[[float], str]


def _columns(prices: PricesSite) -> dict[str, tuple[str, Form]]:
    """Column -> field of a RoundPlan and how it is written."""
    return {
        "correct": ("pass_rate", _percent),
        "cut off": ("cut_off", _percent),
        "kept": ("kept_rows", _count),
        "training rows": ("training_rows", _count),
        "sampled tokens": ("sampled_tokens", _count),
        "evaluated tokens": ("evaluated_tokens", _count),
        "trained tokens": ("trained_tokens", _count),
        "time": ("seconds", _time),
        "GPU hours": ("gpu_hours", lambda hours: f"{hours:,.2f}"),
        prices.currency: ("money", lambda money: f"{money:,.2f}"),
        "MiB": ("disk", _count),
    }


def _print_rounds(planned: Plan, prices: PricesSite) -> None:
    """One line a round and end of the interval; columns that have no number anywhere are left out."""
    lines = [(f"round {each.round}", each) for each in planned.rounds] + [("all", planned.total)]
    columns = {
        name: (field, form)
        for name, (field, form) in _columns(prices).items()
        if any(getattr(each, field) is not None for _, each in lines)
    }
    rows = [
        [title if end == "value" else "", {"value": "expected"}.get(end, end), *_line(each, end, columns)]
        for title, each in lines
        for end in ("value", "low", "high")
    ]
    print_table(("", "", *columns), rows, right=frozenset(columns))
    print()


def _line(each: RoundPlan, end: str, columns: dict[str, tuple[str, Form]]) -> list[str]:
    cells = []
    for field, form in columns.values():
        estimate = getattr(each, field)
        cells.append("" if estimate is None else form(getattr(estimate, end)))
    return cells


def _print_stages(planned: Plan) -> None:
    rows = [(name, *_cells(each, _time)) for name, each in planned.total.stages.items()]
    columns = ("stage, all rounds", "expected", "low", "high")
    print_table(columns, rows, right=frozenset(columns[1:]))
    print()


def _print_notes(pilot: Pilot, measured: Measured, planned: Plan, advice: Sequence[Advice]) -> None:
    from pipeline.plan.predict import ASSUMPTIONS

    for assumption in ASSUMPTIONS:
        say(f"assumed: {assumption}")
    if not planned.training_measured:
        nothing = not measured.count("kept") and not measured.imported
        why = "nothing was kept" if nothing else "its checkpoint was there already (--again tries anew)"
        say(
            f"training: no step could be timed, since {why}; "
            "its time is left out of time, GPU hours and money"
        )
    say(f"look into the pilot: star --home {pilot.home.root} show {pilot.experiment}")
    if not measured.solved:
        say(
            f"the base solved none of {len(measured.problems):,} problems. What may help, the cheapest first:"
        )
    for each in advice:
        say(f"  {each.field}: {each.text}")


def _cells(estimate: Estimate, form: Form) -> tuple[str, str, str]:
    return form(estimate.value), form(estimate.low), form(estimate.high)


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _time(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
