"""Triggers an experiment by the REST API and follows in the terminal what its tasks say."""

from __future__ import annotations

import time
from typing import Any

from pipeline.airflow import LAUNCHER, ROUNDS, run_id_of
from pipeline.airflow.api import Api, ApiError
from pipeline.counted import counted
from pipeline.hostile import clean
from pipeline.progress import Progress, default_progress

_POLL_S = 2.0
_PATIENCE_S = 3600.0
_ENDED = ("success", "failed")
_DONE = ("success", "skipped", "failed", "upstream_failed", "removed")
_ALL = -1


def follow_demo(api: Api, config: str, rounds: int) -> bool:
    """Trigger an experiment of `config`, show its rounds until the last has ended; whether all went well."""
    experiment = f"{config.replace('_', '-')}-demo-{time.strftime('%H%M%S')}"
    progress = default_progress()
    deadline = time.monotonic() + _PATIENCE_S
    conf = {"experiment": experiment, "config": config, "rounds": rounds}
    run = _trigger(api, conf, deadline)
    progress.note(f"triggered {experiment}: {counted(rounds, 'round')} of {config}")
    state = _follow(api, LAUNCHER, run["dag_run_id"], "round 0", progress, deadline)
    for round_ in range(1, rounds + 1):
        run_id = run_id_of(experiment, round_)
        if state != "success" or not _appears(api, run_id):
            break
        state = _follow(api, ROUNDS, run_id, f"round {round_}", progress, deadline)
    progress.note(f"{experiment}: {state}")
    return state == "success"


def _trigger(api: Api, conf: dict[str, Any], deadline: float) -> dict[str, Any]:
    """A run of the launcher, once Airflow has read the DAGs."""
    while True:
        try:
            api.call("GET", f"/dags/{ROUNDS}")
            return api.trigger(LAUNCHER, conf)
        except ApiError as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _appears(api: Api, run_id: str) -> bool:
    """Whether the round's run is there: it is triggered before the run of the round before ends."""
    return api.run(ROUNDS, run_id) is not None


def _follow(api: Api, dag_id: str, run_id: str, title: str, progress: Progress, deadline: float) -> str:
    """Show what the tasks of a run say while it goes on; the run's last state."""
    told: dict[str, int] = {}
    progress.note(f"{title}: run {run_id} of {dag_id}")
    while time.monotonic() < deadline:
        run = api.run(dag_id, run_id) or {"state": "queued", "note": None}
        for task in api.tasks(dag_id, run_id):
            _tell(api, task, told, progress)
        if run["state"] in _ENDED:
            progress.note(clean(f"{title}: {run['state']}. {run.get('note') or ''}".strip()))
            return str(run["state"])
        time.sleep(_POLL_S)
    return "not finished in time"


def _tell(api: Api, task: dict[str, Any], told: dict[str, int], progress: Progress) -> None:
    """What the task's operator has said since it was last asked; `told` counts its lines, by try."""
    this_try = f"{task['id']} {task['try_number']}"
    if not task["try_number"] or told.get(this_try) == _ALL:
        return
    lines = api.log(task)
    for line in lines[told.get(this_try, 0) :]:
        progress.note(clean(f"  {task['task_id']} | {line}"))
    told[this_try] = _ALL if task["state"] in _DONE else len(lines)
