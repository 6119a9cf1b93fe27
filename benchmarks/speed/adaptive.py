"""Adaptive sampling beside a fixed number of samples, on the demo: `python -m benchmarks.speed.adaptive`.

Three arms a seed, in STAR_HOME, one after the other; what is done is skipped. *fixed* draws the demo's four
samples of every problem. *adaptive* draws at most as many and stops at the first that is correct, which is
the one that the demo trains on: its training rows, and so its models, have to be those of *fixed*. *adaptive,
up to N* may spend on hard problems what the others save. Exits with 1 where *adaptive* did not save 30% of
the generated tokens, or any adaptive arm ended below *fixed*.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import load_config
from pipeline.paths import Home
from pipeline.progress import default_progress
from pipeline.runner import open_session, run_experiment
from pipeline.store import Store

CONFIG = "addition"
WANTED = 0.7
"""Generated tokens against the fixed number of samples."""
_ROUNDS = """
select
    coalesce(sum(completion_tokens) filter (origin = 'generated'), 0)::bigint as generated,
    coalesce(sum(completion_tokens) filter (origin = 'rationalized'), 0)::bigint as rationalized
from current_rationales
where experiment = $experiment and purpose = 'training'
"""
_SOLVED = """
select difficulty, avg(solved::int) as share
from (
    select round, problem_id, any_value(difficulty) as difficulty, bool_or(outcome = 'correct') as solved
    from current_rationales
    where experiment = $experiment and origin = 'generated'
    group by round, problem_id
)
group by difficulty
order by difficulty
"""


@dataclass(frozen=True, slots=True)
class Came:
    """What an experiment came to: tokens of all rounds, accuracy and content hash of the last model, and by
    columns the share of the drawn problems that were solved without a hint."""

    generated: int
    rationalized: int
    rows: int
    accuracy: float
    model: str
    solved: Mapping[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.adaptive")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--up-to", type=int, default=8, help="most samples of the third arm; 4: without it")
    options = parser.parse_args()
    fixed, adaptive = "fixed, 4", "adaptive, up to 4"
    arms: dict[str, tuple[str, ...]] = {
        fixed: (),
        adaptive: ("generate.adaptive.enough=1",),
    }
    if options.up_to > 4:
        further = ("generate.adaptive.enough=1", f"generate.samples={options.up_to}")
        arms[f"adaptive, up to {options.up_to}"] = further
    came = {
        (seed, arm): _run(seed, number, settings, options.rounds)
        for seed in options.seeds
        for number, (arm, settings) in enumerate(arms.items())
    }
    _print(came, fixed, options.rounds)
    generated = {arm: sum(came[seed, arm].generated for seed in options.seeds) for arm in arms}
    lower = [key for key, each in came.items() if each.accuracy < came[key[0], fixed].accuracy]
    return 0 if generated[adaptive] <= WANTED * generated[fixed] and not lower else 1


def _run(seed: int, number: int, settings: Sequence[str], rounds: int) -> Came:
    home, name = Home.from_environment(), f"adaptive-s{seed}-{number}"
    seeded = (f"seed={seed}", f"model.tiny.seed={seed}", *settings)
    loaded = load_config(Path(CONFIG), seeded, experiment=name)
    session = open_session(home, name, loaded, default_progress())
    run_experiment(session, rounds=rounds)
    return _came(session.store, name, rounds)


def _came(store: Store, name: str, rounds: int) -> Came:
    (tokens,) = _rows(store, _ROUNDS, name)
    last = store.rows("rounds_summary", experiment=name)[rounds]
    solved = {row["difficulty"]: row["share"] for row in _rows(store, _SOLVED, name)}
    return Came(
        **tokens,
        rows=last["training_rows"],
        accuracy=last["eval_accuracy"],
        model=last["checkpoint_hash"],
        solved=solved,
    )


def _rows(store: Store, sql: str, experiment: str) -> list[dict[str, Any]]:
    columns, rows = store.query_readonly(sql, {"experiment": experiment})
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _print(came: Mapping[tuple[int, str], Came], fixed: str, rounds: int) -> None:
    sizes = sorted({size for each in came.values() for size in each.solved})
    print(f"{rounds} rounds of the demo; solved: drawn problems with a correct sample, by columns\n")
    names = [
        "seed",
        "arm",
        "generated tokens",
        "of fixed",
        "rationalized tokens",
        "rows",
        "held-out accuracy",
    ]
    names += ["model of fixed", *(f"solved {size}" for size in sizes)]
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    for (seed, arm), each in came.items():
        against = came[seed, fixed]
        cells = [str(seed), arm, f"{each.generated:,}", f"{each.generated / against.generated:.0%}"]
        cells += [f"{each.rationalized:,}", f"{each.rows:,}", f"{each.accuracy:.1%}"]
        cells += ["yes" if each.model == against.model else "no"]
        cells += [f"{each.solved[size]:.1%}" for size in sizes]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
