"""Whatever ends a stage task, no process of it is left: with a stage, and a child of it, that ignore SIGTERM."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.airflow.conftest import airflow_environment

# Python reads this as it starts, so the real `star stage` of the real operator becomes a stubborn one.
STUBBORN = """
import os, signal, subprocess, sys, time
if "stage" in sys.argv or "stage" in getattr(sys, "orig_argv", []):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"], start_new_session=True
    )
    with open(os.environ["PIDS"], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    print("working", flush=True)
    while True:
        time.sleep(1)
"""

# A task as Airflow's task runner runs it: SIGTERM calls on_kill, a timeout is an alarm.
TASK = """
import logging, signal, sys
from airflow.sdk.execution_time.timeout import TimeoutPosix
from pipeline.airflow.operators import StageOperator
logging.basicConfig(stream=sys.stdout)
task = StageOperator(task_id="generate", stage="generate", experiment="mine", round_="1", grace_s=1.0)
signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
try:
    with TimeoutPosix(float(sys.argv[1])):
        task.execute({"ti": None})
except BaseException as error:
    print("ended by", type(error).__name__, flush=True)
    sys.exit(3)
"""


class StubbornTask:
    """A task in a process of its own, whose stage and grandchild ignore SIGTERM."""

    def __init__(self, folder: Path, timeout_s: float, through: tuple[str, ...] = ()) -> None:
        self.pids_file = folder / "pids"
        (folder / "path").mkdir()
        (folder / "path" / "sitecustomize.py").write_text(STUBBORN)
        env = airflow_environment(folder)
        env["PYTHONPATH"] = os.pathsep.join([str(folder / "path"), env["PYTHONPATH"]])
        env["PIDS"] = str(self.pids_file)
        self.process = subprocess.Popen(
            [*through, sys.executable, "-c", TASK, str(timeout_s)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.stage_processes = self._wait_for_stage()

    def _wait_for_stage(self) -> list[psutil.Process]:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            pids = self.pids_file.read_text().split() if self.pids_file.exists() else []
            if len(pids) == 2:
                return [psutil.Process(int(pid)) for pid in pids]
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)
        raise AssertionError("the stage did not start")

    def finish(self) -> str:
        """What the task said; all of its processes have to be gone by then or shortly after."""
        said = self.process.communicate(timeout=60)[0]
        _, alive = psutil.wait_procs(self.stage_processes, timeout=30)
        for process in alive:
            process.kill()
        assert not alive, f"survived: {alive}"
        return said


def test_task_out_of_time_leaves_no_process(tmp_path: Path) -> None:
    task = StubbornTask(tmp_path, timeout_s=15)
    assert "ended by AirflowTaskTimeout" in task.finish()
    assert task.process.returncode == 3


def test_task_told_to_stop_leaves_no_process(tmp_path: Path) -> None:
    """Mark failed, clear and shutdown: Airflow's supervisor sends SIGTERM, and kills five seconds later."""
    task = StubbornTask(tmp_path, timeout_s=600)
    task.process.terminate()
    assert "ended by AirflowException" in task.finish()


def test_task_killed_leaves_no_process(tmp_path: Path) -> None:
    task = StubbornTask(tmp_path, timeout_s=600)
    task.process.kill()
    task.finish()
    assert task.process.returncode == -signal.SIGKILL


def test_task_interrupted_leaves_no_process(tmp_path: Path) -> None:
    task = StubbornTask(tmp_path, timeout_s=600)
    task.process.send_signal(signal.SIGINT)
    assert "ended by KeyboardInterrupt" in task.finish()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the task by its parent in /proc")
def test_task_whose_supervisor_was_killed_leaves_no_process(tmp_path: Path) -> None:
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    task = StubbornTask(tmp_path, timeout_s=600, through=(sys.executable, "-c", parent))
    (own,) = psutil.Process(task.process.pid).children()
    task.process.kill()
    task.finish()
    own.wait(30)
    assert not own.is_running()
