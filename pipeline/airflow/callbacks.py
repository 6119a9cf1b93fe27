"""What is done when a task failed or a round is late."""

from __future__ import annotations

import logging
from typing import Any

from pipeline.airflow.child import run_star

log = logging.getLogger(__name__)
_PATIENCE_S = 60.0


def record_failure(context: Any) -> None:
    """Have the store say what became of a stage that was ended before it could say so itself.

    Runs after every failed try, in the task's process or, where that is gone, in the DAG processor.
    """
    task = context["task"]
    stage, experiment, round_ = (getattr(task, name, None) for name in ("stage", "experiment", "round_"))
    if not stage or not experiment or round_ is None or "{{" in f"{experiment}{round_}":
        return  # it failed before it knew what it was to do
    shard = str(getattr(task, "shard", "") or "0").partition("/")[0]
    reason = str(context.get("exception") or "the task was ended from outside")
    arguments = ["fail", stage, str(experiment), "--round", str(int(round_)), "--shard", shard]
    told = run_star(
        [*arguments, "--reason", f"Airflow: {reason}"[:2000]],
        say=lambda line: log.info("%s", line),
        grace_s=2.0,
        timeout_s=_PATIENCE_S,
    )
    if told.exit_code != 0:
        log.warning("the failure could not be recorded (exit code %d): %s", told.exit_code, told.last_lines)


def report_late_round(context: Any = None, **_: Any) -> None:
    """Say that a round missed its deadline (`airflow.deadline_hours` of the site's settings)."""
    run = (context or {}).get("dag_run") or {}
    run_id = run.get("run_id") if isinstance(run, dict) else getattr(run, "run_id", None)
    log.error("round %s is late: it was queued longer ago than airflow.deadline_hours allows", run_id)
