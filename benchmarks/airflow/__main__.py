"""`python -m benchmarks.airflow`: one experiment by `star run` and by Airflow, and where the rest goes.

Both run in one home, one after the other, repeated; the table gives medians over the repetitions. A task is
split by the store's own times: *before* its stage began (the task's and the child's start, most imports), the
*stage* itself, *after* it (the child's end, the task's report). *Between* tasks Airflow schedules.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.airflow import LAUNCHER, ROUNDS, run_id_of
from pipeline.airflow.api import Api, ApiError
from pipeline.paths import Home
from pipeline.rounds import WRITE
from pipeline.store import Store

PATIENCE_S = 1800.0
ROOT = Path(__file__).resolve().parents[2]
PATH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.airflow")
    parser.add_argument("--config", default="smoke")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--fuse", action="store_true", help="with generate.fuse: one task writes and grades")
    parser.add_argument("--port", type=int, default=8099)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, airflow(Path(folder), options.port) as api:
        home = Home(Path(folder) / "star")
        # The base is made once, outside the times.
        star_run(home, options.config, "warm-up", 0)
        by_hand: list[dict[int, float]] = []
        by_airflow: list[dict[int, dict[str, dict[str, float]]]] = []
        for number in range(options.repeat):
            star_run(home, options.config, f"hand-{number}", options.rounds)
            by_hand.append(rounds_by_hand(home, f"hand-{number}"))
            conf: dict[str, Any] = {"experiment": f"dag-{number}", "config": options.config}
            conf |= {"rounds": options.rounds, "further": ["generate.fuse=true"] if options.fuse else []}
            by_airflow.append(by_dag_runs(api, home, conf))
            print(f"repetition {number + 1} of {options.repeat} is done", file=sys.stderr, flush=True)
        show(options, by_hand, by_airflow)


@contextmanager
def airflow(folder: Path, port: int) -> Iterator[Api]:
    env = {**os.environ, "STAR_HOME": str(folder / "star"), "PYTHONPATH": PATH}
    command = [sys.executable, "-m", "pipeline.airflow.standalone", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--airflow-home", str(folder / "airflow")], env=env, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        passwords = folder / "airflow" / "passwords.json"
        wait(passwords.exists)
        time.sleep(1)
        api = Api(f"http://127.0.0.1:{port}", "admin", json.loads(passwords.read_text())["admin"])
        wait(lambda: api.is_ready() and known(api))
        yield api
    finally:
        process.terminate()  # Ctrl-C would be ignored where a shell started us in the background
        process.wait(90)


def known(api: Api) -> bool:
    try:
        return bool(api.call("GET", f"/dags/{LAUNCHER}") and api.call("GET", f"/dags/{ROUNDS}"))
    except ApiError:
        return False


def wait(ready: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = ready()
        if found:
            return found
        time.sleep(0.5)
    raise SystemExit("waited too long")


def star_run(home: Home, config: str, experiment: str, rounds: int) -> None:
    command = [sys.executable, "-m", "pipeline", "--home", str(home.root), "run", config]
    command += ["--experiment", experiment, "--rounds", str(rounds)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": PATH}, capture_output=True)


def stage_times(home: Home, experiment: str) -> list[tuple[int, str, datetime, datetime]]:
    query = (
        "select round, stage, min(started_at), max(finished_at) from stage_runs "
        "where experiment = ? group by all"
    )
    with Store(home).reading() as connection:
        return list(connection.execute(query, [experiment]).fetchall())


def rounds_by_hand(home: Home, experiment: str) -> dict[int, float]:
    """Seconds from the first begin to the last end of each round's stages."""
    times = stage_times(home, experiment)
    found: dict[int, float] = {}
    for round_ in {row[0] for row in times}:
        mine = [row for row in times if row[0] == round_]
        found[round_] = (max(row[3] for row in mine) - min(row[2] for row in mine)).total_seconds()
    return found


def by_dag_runs(api: Api, home: Home, conf: dict[str, Any]) -> dict[int, dict[str, dict[str, float]]]:
    """Round -> task -> seconds between, before, stage, after."""
    experiment, rounds = conf["experiment"], conf["rounds"]
    runs = {0: (LAUNCHER, str(api.trigger(LAUNCHER, conf)["dag_run_id"]))}
    runs.update({round_: (ROUNDS, run_id_of(experiment, round_)) for round_ in range(1, rounds + 1)})
    for dag_id, run_id in runs.values():
        wait(lambda dag_id=dag_id, run_id=run_id: ended(api, dag_id, run_id))
    stages = {(row[0], row[1]): row[2:] for row in stage_times(home, experiment)}
    for round_ in range(1, rounds + 1):
        fused = [stages[round_, name] for name in WRITE.stages if (round_, name) in stages]
        stages[round_, WRITE.name] = (min(begun for begun, _ in fused), max(done for _, done in fused))
    return {round_: tasks_of(api, round_, *runs[round_], stages) for round_ in runs}


def ended(api: Api, dag_id: str, run_id: str) -> bool:
    run = api.run(dag_id, run_id)
    if run is not None and run["state"] == "failed":
        raise SystemExit(f"{run_id} failed: {run['note']}")
    return run is not None and run["state"] == "success"


def tasks_of(
    api: Api, round_: int, dag_id: str, run_id: str, stages: dict[tuple[int, str], tuple[datetime, datetime]]
) -> dict[str, dict[str, float]]:
    run = api.run(dag_id, run_id)
    assert run is not None
    at = instant(run["start_date"])
    found: dict[str, dict[str, float]] = {}
    # What prepare skips at once was never started.
    started = [task for task in api.tasks(dag_id, run_id) if task["start_date"] and task["pid"]]
    for task in sorted(started, key=lambda task: str(task["start_date"])):
        start, end = instant(task["start_date"]), instant(task["end_date"])
        between = max((start - at).total_seconds(), 0.0)
        begun, done = stages.get((round_, task["task_id"]), (end, end))
        parts = (between, (begun - start).total_seconds(), (done - begun).total_seconds())
        found[task["task_id"]] = dict(
            zip(("between", "before", "stage", "after"), (*parts, (end - done).total_seconds()), strict=True)
        )
        at = max(at, end)
    return found


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).replace(tzinfo=None)


def show(options: argparse.Namespace, by_hand: list[dict[int, float]], by_airflow: list[Any]) -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in ("apache-airflow", "duckdb", "torch"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    fused = ", generate.fuse" if options.fuse else ""
    print(f"{options.config}{fused}, {options.rounds} rounds, medians of {options.repeat}\n")
    print("| round | star run, s | Airflow, s | more, s | between | before | after |")
    print("|---|---|---|---|---|---|---|")
    for round_ in sorted(by_hand[0]):
        hand = median(run[round_] for run in by_hand)
        sums = {
            part: median(sum(task[part] for task in run[round_].values()) for run in by_airflow)
            for part in ("between", "before", "stage", "after")
        }
        whole = median(sum(sum(task.values()) for task in run[round_].values()) for run in by_airflow)
        parts = " | ".join(f"{sums[part]:.1f}" for part in ("between", "before", "after"))
        print(f"| {round_} | {hand:.1f} | {whole:.1f} | {whole - hand:.1f} | {parts} |")
    last = max(by_hand[0])
    print(f"\nround {last} by task\n\n| task | between | before | stage | after |\n|---|---|---|---|---|")
    for task in by_airflow[0][last]:
        names = ("between", "before", "stage", "after")
        parts = [median(run[last][task][part] for run in by_airflow) for part in names]
        print(f"| {task} | " + " | ".join(f"{part:.1f}" for part in parts) + " |")


if __name__ == "__main__":
    main()
