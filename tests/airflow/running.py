"""`make airflow` in a process of its own, driven as a user does: by the REST API, signals and kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipeline.airflow import LAUNCHER, ROUNDS, run_id_of
from pipeline.airflow.api import Api, ApiError
from pipeline.paths import Home
from pipeline.store import Store
from tests.airflow.conftest import airflow_environment

READY_S = 240.0
PATIENCE_S = 600.0
ENDED = ("success", "failed")
SITE = """
airflow:
  retry_delay_s: 3
  gpu: {pool: gpu, slots: 2}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """An Airflow whose home, and whose experiments, lie in `folder`."""

    folder: Path
    site: str = SITE
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _api: Api | None = None

    @property
    def home(self) -> Home:
        return Home(self.folder / "star")

    @property
    def store(self) -> Store:
        return Store(self.home)

    @property
    def api(self) -> Api:
        if self._api is None:
            passwords = json.loads((self.folder / "airflow" / "passwords.json").read_text())
            self._api = Api(f"http://127.0.0.1:{self.port}", "admin", passwords["admin"])
        return self._api

    def write_site(self, text: str) -> None:
        (self.folder / "site.yaml").write_text(text)

    def start(self, *arguments: str) -> None:
        """Start it and wait until it answers and has read the DAGs."""
        if not (self.folder / "site.yaml").exists():
            self.write_site(self.site)
        env = airflow_environment(self.folder)
        env["STAR_SITE"] = str(self.folder / "site.yaml")
        env["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] = "5"
        # So that a task whose worker was killed is found within seconds, and not minutes.
        env["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] = "30"
        env["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL"] = "5"
        log = (self.folder / "standalone.log").open("ab")
        command = [sys.executable, "-m", "pipeline.airflow.standalone", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command, env=env, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
        )
        self.wait(self._is_ready, "Airflow to be ready", READY_S)

    def _is_ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log()
        if not (self.folder / "airflow" / "passwords.json").exists() or not self.api.is_ready():
            return False
        try:
            return bool(self.api.call("GET", f"/dags/{LAUNCHER}") and self.api.call("GET", f"/dags/{ROUNDS}"))
        except ApiError:
            return False

    def stop(self) -> list[psutil.Process]:
        """Ctrl-C; the processes that outlived it, which are killed here."""
        assert self.process is not None
        below = self.processes()
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(60) == 0, self.log()
        finally:
            _, alive = psutil.wait_procs(below, timeout=15)
            for process in alive:
                process.kill()
        return alive

    def kill_everything_of_airflow(self) -> None:
        """kill -9 of scheduler, workers, API server and DAG processor, and of what watches them."""
        assert self.process is not None
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            if "supervisor.py" not in " ".join(_command(process)):  # a stage's own watcher sees it go
                _kill(process)
        self.process.wait(30)

    def processes(self) -> list[psutil.Process]:
        """Everything below the process that was started."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def launch(self, **conf: Any) -> str:
        """Trigger the launcher; the id of its run."""
        return str(self.api.trigger(LAUNCHER, conf)["dag_run_id"])

    def finish(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended."""
        return self.wait(lambda: self._ended(dag_id, run_id), f"{dag_id} {run_id} to end", PATIENCE_S)  # type: ignore[no-any-return]

    def finish_round(self, experiment: str, round_: int) -> dict[str, Any]:
        return self.finish(ROUNDS, run_id_of(experiment, round_))

    def _ended(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        run = self.api.run(dag_id, run_id)
        return run if run is not None and run["state"] in ENDED else None

    def states(self, dag_id: str, run_id: str) -> dict[str, set[str]]:
        """Task -> the states of its instances."""
        found: dict[str, set[str]] = {}
        for task in self.api.tasks(dag_id, run_id):
            found.setdefault(task["task_id"], set()).add(task["state"])
        return found

    def clear(self, run_id: str, *tasks: str) -> None:
        """Clear tasks of a round with what follows, as the button does."""
        body = {"dag_run_id": run_id, "task_ids": list(tasks), "include_downstream": True}
        self.api.call(
            "POST",
            f"/dags/{ROUNDS}/clearTaskInstances",
            {**body, "dry_run": False, "only_failed": False, "reset_dag_runs": True},
        )

    def wait(self, ready: Callable[[], Any], what: str, patience_s: float) -> Any:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            try:
                found = ready()
            except OSError:
                found = None  # the API server is starting
            if found:
                return found
            time.sleep(0.5)
        raise AssertionError(f"waited {patience_s:.0f} s for {what}\n{self.log()}")

    def log(self) -> str:
        files = (self.folder / "standalone.log", self.folder / "airflow" / "airflow.log")
        return "\n".join(file.read_text(errors="replace")[-3000:] for file in files if file.exists())


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


CONTENT = {
    "problems": "select problem_id, split, question, answer from current_problems where experiment = ?",
    "texts": "select round, origin, purpose, problem_id, sample, seed, text from current_rationales "
    "where experiment = ?",
    "verdicts": "select r.round, r.origin, r.purpose, r.problem_id, r.sample, v.grader, v.outcome, v.reason "
    "from current_verdicts v join current_rationales r using (rationale_id, experiment) where experiment = ?",
    "selection": "select round, problem_id, prompt, completion from current_training_rows where experiment = ?",
    "left out": "select round, problem_id, reason from current_rejections where experiment = ?",
    "checkpoints": "select round, content_hash, rows, steps from current_checkpoints where experiment = ?",
    "accuracies": "select round, split, metric, difficulty, prompt_style, value from current_evaluations "
    "where experiment = ?",
    "decisions": "select round, problems_digest, model_hash, status, decision, reason from rounds "
    "where experiment = ?",
}


def content(store: Store, experiment: str) -> dict[str, list[Any]]:
    """What an experiment came to, without times, places and ids that hold its name."""
    with store.reading() as connection:
        return {
            name: connection.execute(f"{query} order by all", [experiment]).fetchall()
            for name, query in CONTENT.items()
        }
