"""Airflow: stages as tasks, rounds as DAG runs. With `dags/` the only place that imports it."""

from __future__ import annotations

LAUNCHER, ROUNDS = "star", "star_round"
"""The two DAGs: one starts experiments, a run of the other is a round."""

PAGES = "/star"
"""Where `pipeline.airflow.pages` is mounted in Airflow's API server."""


def run_id_of(experiment: str, round_: int) -> str:
    """The run of `star_round` that is this round: deterministic, so that it exists once."""
    return f"{experiment}__r{round_:03d}"
