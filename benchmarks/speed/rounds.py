"""Where a round of the demo spends its time: `python -m benchmarks.speed.rounds`.

Runs the demo's experiment (or takes a finished one) and splits the wall time of each round, from the start of
its first stage to the end of its last, into what the engine wrote in, what the trainer stepped in, and the
rest: imports, models opened, grading, the store.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed.measuring import machine
from pipeline.config import load_config
from pipeline.paths import Home
from pipeline.progress import default_progress
from pipeline.runner import open_session, run_experiment
from pipeline.store import Store

_ROUNDS = """
select
    round,
    date_diff('millisecond', min(started_at), max(finished_at)) / 1000 as wall,
    coalesce(sum(engine_seconds) filter (stage <> 'train'), 0) as engine,
    coalesce(sum(engine_seconds) filter (stage = 'train'), 0) as trainer
from stage_runs
where experiment = $experiment and status = 'done' and round > 0
group by round
order by round
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.rounds")
    parser.add_argument("--config", default="addition")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--experiment", default="speed-rounds", help="its name in STAR_HOME; done rounds stay"
    )
    options = parser.parse_args()
    home = Home.from_environment()
    loaded = load_config(Path(options.config), experiment=options.experiment)
    run_experiment(open_session(home, options.experiment, loaded, default_progress()), rounds=options.rounds)
    rows = _rows(Store(home), options.experiment)
    print(f"{options.config}, {machine('torch', 'trl', 'duckdb')}\n")
    print("| round | wall s | engine s | trainer s | the rest s | share |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['round']} | {row['wall']:.1f} | {row['engine']:.1f} | {row['trainer']:.1f} "
            f"| {_rest(row):.1f} | {_rest(row) / row['wall']:.0%} |"
        )
    print(f"\nMedian share of the rest: {median(_rest(row) / row['wall'] for row in rows):.0%}.")


def _rest(row: dict[str, Any]) -> float:
    return float(row["wall"] - row["engine"] - row["trainer"])


def _rows(store: Store, experiment: str) -> list[dict[str, Any]]:
    columns, rows = store.query_readonly(_ROUNDS, {"experiment": experiment})
    return [dict(zip(columns, row, strict=True)) for row in rows]


if __name__ == "__main__":
    main()
