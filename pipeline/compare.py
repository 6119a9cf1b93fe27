"""Two experiments on the same problems: paired difference, McNemar's test, and what each had cost by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.site import NO_PRICES
from pipeline.errors import ConfigError, NotReadyError
from pipeline.export import best_round
from pipeline.measures import Share, mcnemar, paired_difference, wilson
from pipeline.store import Store

Answers = Mapping[tuple[str, str], bool]
"""(problem id, hash of its content) -> whether it was solved greedily."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One experiment in one round, measured on a split in one prompt style, and its costs up to that round.

    `cost` has sampled_tokens, trained_tokens, steps, seconds and gpu_hours since round 0, and money where
    the site has a price.
    """

    experiment: str
    round: int
    split: str
    style: str
    answers: Answers
    cost: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`second` against `first` on the problems that both were measured on.

    `gained` only the second solved, `lost` only the first. `only_first` and `only_second` count problems that
    the other was not measured on, `changed` those of one id whose question, choices or gold answer differ.
    """

    first: Measured
    second: Measured
    problems: int
    first_accuracy: Share
    second_accuracy: Share
    both: int
    neither: int
    gained: int
    lost: int
    difference: Share
    p_value: float
    only_first: int
    only_second: int
    changed: int


def chosen_round(store: Store, experiment: str, wanted: str) -> int:
    """The round that `best` (by dev, else the newest), `last` or a number names; of those that were measured.

    ConfigError for another word, NotReadyError where the experiment has no such measured round.
    """
    measured = sorted({row["round"] for row in _accuracies(store, experiment)})
    if not measured:
        raise NotReadyError(f"experiment {experiment} has not been measured yet; run: star run {experiment}")
    if wanted == "last":
        return int(measured[-1])
    if wanted == "best":
        return best_round(store, experiment) if measured[-1] > 0 else 0
    if not wanted.isdecimal():
        raise ConfigError(f"--round {wanted!r}: expected a number, best or last")
    if int(wanted) not in measured:
        rounds = ", ".join(map(str, measured))
        raise NotReadyError(f"round {wanted} of {experiment} was not measured; measured rounds: {rounds}")
    return int(wanted)


def measured(
    store: Store,
    experiment: str,
    round_: int,
    split: str | None = None,
    prices: Mapping[str, float | None] = NO_PRICES,
) -> Measured:
    """What a round solved of `split` (by default eval where it was measured, else dev).

    `prices` are those of a site. Round 0 was measured in two prompt styles where there are
    exemplars: the better one stands. NotReadyError where that split was not measured.
    """
    found = [row for row in _accuracies(store, experiment) if row["round"] == round_]
    splits = {row["split"] for row in found}
    chosen = split or ("eval" if "eval" in splits else "dev")
    if chosen not in splits:
        there = ", ".join(sorted(splits)) or "none"
        raise NotReadyError(
            f"round {round_} of experiment {experiment} was not measured on {chosen}; measured: {there}"
        )
    best = max((row for row in found if row["split"] == chosen), key=lambda row: row["value"])
    style = str(best["prompt_style"])
    rows = store.rows("measured_greedily", experiment=experiment, round=round_, split=chosen)
    answers = {
        (row["problem_id"], row["content"]): bool(row["correct"])
        for row in rows
        if row["prompt_style"] == style
    }
    return Measured(experiment, round_, chosen, style, answers, cost_up_to(store, experiment, round_, prices))


def compare(first: Measured, second: Measured, confidence: float = 0.95) -> Comparison:
    """The second against the first, paired by problem. ConfigError: another split, or none shared."""
    if first.split != second.split:
        raise ConfigError(
            f"{first.experiment} was measured on {first.split}, {second.experiment} on {second.split}; "
            "name a split that both have with --split"
        )
    shared = sorted(first.answers.keys() & second.answers.keys())
    if not shared:
        raise ConfigError(
            f"{first.experiment} and {second.experiment} share no problem of {first.split}: nothing can be "
            "paired; compare experiments on the same data"
        )
    before, after = ([side.answers[problem] for problem in shared] for side in (first, second))
    pairs = list(zip(before, after, strict=True))
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    changed = {problem for problem, _ in first.answers.keys() - second.answers.keys()} & {
        problem for problem, _ in second.answers.keys() - first.answers.keys()
    }
    return Comparison(
        first=first,
        second=second,
        problems=len(shared),
        first_accuracy=wilson(sum(before), len(shared), confidence),
        second_accuracy=wilson(sum(after), len(shared), confidence),
        both=pairs.count((True, True)),
        neither=pairs.count((False, False)),
        gained=gained,
        lost=lost,
        difference=paired_difference(before, after, confidence),
        p_value=mcnemar(gained, lost),
        only_first=len(first.answers) - len(shared) - len(changed),
        only_second=len(second.answers) - len(shared) - len(changed),
        changed=len(changed),
    )


def cost_up_to(
    store: Store, experiment: str, round_: int, prices: Mapping[str, float | None] = NO_PRICES
) -> dict[str, float]:
    """Tokens sampled and trained on, optimizer steps, seconds, GPU hours, money of rounds 0 to `round_`."""
    rows = store.rows("reports/cost_by_round", experiment=experiment, **prices)
    names = ["sampled_tokens", "trained_tokens", "steps", "seconds", "gpu_hours"]
    if any(price is not None for price in prices.values()):
        names.append("money")
    return {name: sum(row[name] or 0 for row in rows if row["round"] <= round_) for name in names}


def _accuracies(store: Store, experiment: str) -> Sequence[Mapping[str, Any]]:
    return [
        {**row, "split": split}
        for split in ("dev", "eval")
        for row in store.rows("accuracies", experiment=experiment, split=split)
    ]
