"""Tasks of one machine get a GPU each."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.airflow.devices import free_devices
from pipeline.airflow.operators import StageOperator
from pipeline.config.site import PlaceSite
from pipeline.paths import Home

# Python reads this as it starts, so the real `star stage` of the real operator says what it sees, and ends.
TELLING = """
import json, os, sys
if "stage" in getattr(sys, "orig_argv", []) and "pipeline" in sys.orig_argv:
    print(json.dumps({"outcomes": ["done"], "sees": os.environ.get("CUDA_VISIBLE_DEVICES")}))
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(TELLING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("STAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    return Home.from_environment()


def _sees(shard: str, *devices: str) -> object:
    task = StageOperator(
        task_id="generate", stage="generate", experiment="mine", round_="1", shard=shard, devices=devices
    )
    return task.star(*task.arguments(), prefer=task._shard_index()).document["sees"]


def test_task_of_a_shard_sees_its_device_alone(home: Home) -> None:
    assert [_sees(f"{shard}/4", "0", "1", "2") for shard in range(4)] == ["0", "1", "2", "0"]
    assert _sees("1/2", "0,1", "2,3") == "2,3"
    assert _sees("", "3") == "3"  # a training


def test_task_of_a_site_without_devices_sees_what_its_worker_sees(home: Home) -> None:
    assert _sees("1/2") == "0,1,2,3"


def test_task_takes_a_device_that_no_other_task_has_and_waits_where_none_is_free(home: Home) -> None:
    said: list[str] = []
    got: list[str | None] = []

    def third() -> None:
        with free_devices(home, ["0", "1"], first=0, say=said.append) as device:
            got.append(device)

    with free_devices(home, ["0", "1"], first=1, say=said.append) as first:
        with free_devices(home, ["0", "1"], first=1, say=said.append) as second:
            assert (first, second) == ("1", "0")
            waiting = threading.Thread(target=third)
            waiting.start()
            while not said:
                waiting.join(0.01)
            assert not got
        waiting.join()
    assert got == ["0"]
    assert said == ["waiting for a GPU: all of 0, 1 are taken by other tasks of this machine"]


def test_device_of_a_killed_task_is_free_at_once(home: Home, repository: Path) -> None:
    code = (
        "import os; from pipeline.paths import Home; from pipeline.airflow.devices import free_devices\n"
        "with free_devices(Home.from_environment(), ['0'], first=0, say=print): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=repository, check=False).returncode == -9
    with free_devices(home, ["0"], first=0, say=print) as device:
        assert device == "0"


@pytest.mark.parametrize("devices", [["0", "0"], ["0,1", "1"], ["../x"], [""]])
def test_devices_that_two_tasks_would_share_or_cuda_does_not_know_are_refused(devices: list[str]) -> None:
    with pytest.raises(ValidationError, match="device"):
        PlaceSite.model_validate({"devices": devices})
