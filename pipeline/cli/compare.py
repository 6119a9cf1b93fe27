"""`star compare`: experiments against the first of them, on the same problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment, store_of
from pipeline.cli.terminal import print_json, print_table, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.compare import Comparison, Measured
    from pipeline.measures import Share

PANEL = "Look"


def register(app: typer.Typer) -> None:
    add(
        app,
        compare,
        PANEL,
        "star compare gsm8k gsm8k-no-hint",
        "star compare gsm8k gsm8k-strict gsm8k-longer --round last --split eval",
        "star compare gsm8k gsm8k@0                 a round of an experiment against another",
    )


def compare(
    ctx: typer.Context,
    experiments: list[str] = typer.Argument(
        metavar="EXPERIMENT[@ROUND]...", help="At least two; each is compared with the first."
    ),
    round_: str = typer.Option(
        "best", "--round", metavar="N|best|last", help="Where none is given by @. best: by dev, else newest."
    ),
    split: str | None = typer.Option(None, help="dev or eval. Default: eval where measured, else dev."),
    json: bool = typer.Option(False, "--json", help="The comparisons as JSON on stdout."),
) -> None:
    """Compare experiments on the same problems: difference with its interval, McNemar's exact test, costs.

    Greedy answers are paired by problem. Gained: solved by it and not by the first; lost: the other way.
    """
    from pipeline.compare import compare as paired
    from pipeline.config.site import load_site

    if len(experiments) < 2:
        raise typer.BadParameter("name at least two to compare", param_hint="EXPERIMENT")
    prices = load_site(home_of(ctx)).config.prices
    first, *others = (_measured(ctx, name, round_, split, prices.gpu_hour) for name in experiments)
    found = [paired(first, other) for other in others]
    if json:
        print_json([_as_json(comparison) for comparison in found])
        return
    _print(first, found, prices.currency)


def _measured(
    ctx: typer.Context, named: str, default: str, split: str | None, gpu_hour: float | None
) -> Measured:
    from pipeline.compare import chosen_round, measured

    name, _, wanted = named.partition("@")
    store = store_of(ctx)
    known_experiment(store, name)
    return measured(store, name, chosen_round(store, name, wanted or default), split, gpu_hour)


def _print(first: Measured, found: list[Comparison], currency: str) -> None:
    rows: list[list[Any]] = [
        [_title(first), _share(found[0].first_accuracy), "", "", "", "", *_cost(first)],
        *(
            [
                _title(one.second),
                _share(one.second_accuracy),
                _points(one.difference),
                one.gained,
                one.lost,
                _p_value(one.p_value),
                *_cost(one.second),
            ]
            for one in found
        ),
    ]
    costs = ["sampled tokens", "steps", "seconds", "GPU h", *([currency] if "money" in first.cost else [])]
    columns = ("experiment", "accuracy", "difference", "gained", "lost", "p", *costs)
    print_table(columns, rows, right=frozenset(columns[1:]))
    say(
        f"{counted(found[0].problems, 'problem')} of {first.split}, paired; difference in points with its "
        "95% interval"
    )
    for one in found:
        for sentence in _differing(one):
            say(sentence)


def _differing(one: Comparison) -> list[str]:
    """What of the two sides could not be paired, and where they were asked differently."""
    said = []
    left_out = one.only_first + one.only_second + one.changed
    if left_out:
        said.append(
            f"note: {one.first.experiment} and {one.second.experiment} were measured on different problems: "
            f"{one.only_first:,} only the first, {one.only_second:,} only the second, {one.changed:,} with "
            f"another question or answer; the {one.problems:,} that both have are compared"
        )
    if one.first.style != one.second.style:
        said.append(
            f"note: {_title(one.first)} was asked {one.first.style}, {_title(one.second)} {one.second.style}"
        )
    return said


def _title(side: Measured) -> str:
    return f"{side.experiment}@{side.round}"


def _share(share: Share) -> str:
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _points(share: Share) -> str:
    return f"{100 * share.value:+.1f} [{100 * share.low:+.1f}, {100 * share.high:+.1f}]"


def _p_value(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "<0.0001"


def _cost(side: Measured) -> list[str]:
    cost = side.cost
    return [
        f"{cost['sampled_tokens']:,.0f}",
        f"{cost['steps']:,.0f}",
        f"{cost['seconds']:,.1f}",
        f"{cost['gpu_hours']:,.2f}",
        *([f"{cost['money']:,.2f}"] if "money" in cost else []),
    ]


def _as_json(one: Comparison) -> dict[str, Any]:
    def side(which: Measured, accuracy: Share) -> dict[str, Any]:
        return {
            "experiment": which.experiment,
            "round": which.round,
            "prompt_style": which.style,
            "accuracy": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
            "cost": dict(which.cost),
        }

    names = (
        "problems",
        "both",
        "neither",
        "gained",
        "lost",
        "p_value",
        "only_first",
        "only_second",
        "changed",
    )
    return {
        "split": one.first.split,
        "first": side(one.first, one.first_accuracy),
        "second": side(one.second, one.second_accuracy),
        "difference": one.difference.value,
        "low": one.difference.low,
        "high": one.difference.high,
        **{name: getattr(one, name) for name in names},
    }
