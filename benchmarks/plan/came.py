"""What a finished experiment came to, in the quantities that `star plan` predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.site import NO_PRICES
from pipeline.plan import Estimate, Plan
from pipeline.store import Store

QUANTITIES = (
    "pass_rate",
    "cut_off",
    "kept_rows",
    "training_rows",
    "steps",
    "sampled_tokens",
    "evaluated_tokens",
    "trained_tokens",
    "seconds",
)
SUMMED = frozenset(QUANTITIES) - {"pass_rate", "cut_off", "training_rows"}


@dataclass(frozen=True, slots=True)
class Beside:
    """One predicted quantity of a round (None: of all) and what came."""

    round: int | None
    quantity: str
    predicted: Estimate
    came: float

    @property
    def held(self) -> bool:
        """Whether what came lies in the interval."""
        return self.predicted.holds(self.came)


def came(store: Store, experiment: str) -> dict[int, dict[str, float]]:
    """By round: the quantities as its tables have them."""
    costs = {
        row["round"]: row for row in store.rows("reports/cost_by_round", experiment=experiment, **NO_PRICES)
    }
    rounds = store.rows("rounds_summary", experiment=experiment)
    return {row["round"]: _of_round(store, experiment, row, costs[row["round"]]) for row in rounds}


def _of_round(
    store: Store, experiment: str, row: Mapping[str, Any], cost: Mapping[str, Any]
) -> dict[str, float]:
    found = {
        "kept_rows": cost["kept"],
        "training_rows": row["training_rows"],
        "steps": cost["steps"],
        "sampled_tokens": cost["sampled_tokens"],
        "evaluated_tokens": cost["evaluated_tokens"],
        "trained_tokens": cost["trained_tokens"],
        "seconds": cost["seconds"],
    }
    if row["round"] > 0 and row["generated"]:
        ends = store.rows("reports/cut_off_by_round", experiment=experiment)
        cut_off = sum(
            each["cut_off"]
            for each in ends
            if each["round"] == row["round"] and each["origin"] == "generated"
        )
        found["pass_rate"] = row["generated_correct_attempts"] / row["generated"]
        found["cut_off"] = cut_off / row["generated"]
    return {name: float(value) for name, value in found.items()}


def beside(planned: Plan, store: Store, experiment: str) -> Iterator[Beside]:
    """Every predicted quantity of every round that was run, then of all rounds together.

    What a round has none of by its nature (round 0 trains nothing) is left out.
    """
    found = came(store, experiment)
    for each in planned.rounds:
        for quantity in QUANTITIES:
            predicted = getattr(each, quantity)
            if predicted is None or quantity not in found.get(each.round, {}):
                continue
            line = Beside(each.round, quantity, predicted, found[each.round][quantity])
            if predicted.high or line.came:
                yield line
    for quantity in QUANTITIES:
        if quantity in SUMMED:
            predicted = getattr(planned.total, quantity)
            yield Beside(None, quantity, predicted, sum(row[quantity] for row in found.values()))
