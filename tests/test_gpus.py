"""Shards of a stage at the same time, each held to GPUs of its own. CUDA_VISIBLE_DEVICES stands for the GPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError, DataError, LeaseHeldError
from pipeline.gpus import chosen_gpus, gpu_groups, take_gpus
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.shards import PinnedShards, check_groups, shard_environment
from pipeline.store import Store
from tests.experiments import NAME, star, write_config


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi lists three GPUs."""
    listing = tmp_path / "bin" / "nvidia-smi"
    listing.parent.mkdir()
    listing.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{listing.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("three_gpus")
def test_gpus_are_the_first_or_the_named_ones_that_nvidia_smi_lists() -> None:
    assert chosen_gpus("2") == ("0", "1")
    assert chosen_gpus("0,2") == ("0", "2")


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("4", r"--gpus 4: expected 1 to 3; there are 3 \(0, 1, 2\)"),
        ("0", "expected 1 to 3"),
        ("0,5", "there is no GPU 5; there are 3"),
        ("1,1", "expected each GPU once"),
        ("all", "expected a number of GPUs"),
    ],
)
def test_gpus_that_are_not_there_are_refused_with_what_is(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_gpus(asked)


def test_gpus_are_those_that_a_batch_system_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8932f937")
    assert chosen_gpus("2") == ("4", "GPU-8932f937")
    with pytest.raises(ConfigError, match="there is no GPU 0"):
        chosen_gpus("0,4")
    assert take_gpus("1") == ("4",)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES is empty"):
        chosen_gpus("1")


def test_gpus_are_grouped_for_an_engine_that_takes_several() -> None:
    assert gpu_groups(("0", "1", "2", "3"), 1) == ("0", "1", "2", "3")
    assert gpu_groups(("0", "1", "2", "3"), 2) == ("0,1", "2,3")
    with pytest.raises(ConfigError, match=r"3 GPUs \(0, 1, 3\), but engine.tensor_parallel is 2"):
        gpu_groups(("0", "1", "3"), 2)


def test_fewer_shards_than_gpus_are_refused_with_the_setting(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with pytest.raises(ConfigError, match="shards is 1, but --gpus gives room for 2 .* --set shards=2"):
        check_groups(("0", "1"), load_config(config).config)
    paired = load_config(config, ["engine.tensor_parallel=2", "shards=4"]).config
    assert check_groups(("0", "1", "2", "3"), paired) == ("0,1", "2,3")


def test_shard_sees_its_gpus_alone_counted_as_nvidia_smi_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    environment = shard_environment("2,3")
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["CUDA_DEVICE_ORDER"]) == ("2,3", "PCI_BUS_ID")


def test_shard_is_run_by_the_command_that_people_type(tmp_path: Path) -> None:
    shards = _Children(Home(tmp_path), "lab", 4, ("0",), tmp_path / "lab.yaml", "me", LogProgress())
    assert PinnedShards.command(shards, "generate", 2, 3) == [
        *(sys.executable, "-m", "pipeline", "--home", str(tmp_path)),
        *("stage", "generate", "lab", "--round", "2", "--shard", "3/4"),
        *("--config", str(tmp_path / "lab.yaml"), "--within", "me"),
    ]


@dataclass(frozen=True)
class _Children(PinnedShards):
    """Other commands in place of `star stage`, each told its shard."""

    code: str = field(default="")

    def command(self, stage: str, round_: int, shard: int) -> list[str]:
        return [sys.executable, "-c", self.code, str(shard), str(self.config)]


MEET = """
import os, pathlib, sys, time
mine, folder = sys.argv[1], pathlib.Path(sys.argv[2])
(folder / mine).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
while len(list(folder.iterdir())) < 2:
    time.sleep(0.01)
"""


def test_shards_run_at_the_same_time_each_on_a_gpu_of_its_own(tmp_path: Path) -> None:
    shards = _Children(Home(tmp_path), "lab", 2, ("0", "1"), tmp_path / "met", "", LogProgress(), code=MEET)
    shards.config.mkdir()
    shards.run("generate", 1, [0, 1])  # each waits until it sees the other's file
    assert {(tmp_path / "met" / shard).read_text() for shard in "01"} == {"0", "1"}


FAIL_SECOND = """
import pathlib, sys
if sys.argv[1] == "1":
    print("error: row 7 is no row", file=sys.stderr)
    sys.exit(65)
pathlib.Path(sys.argv[2], sys.argv[1]).write_text("done")
"""


def test_shard_that_fails_leaves_the_others_and_is_named(tmp_path: Path) -> None:
    shards = _Children(Home(tmp_path), "lab", 4, ("0", "1"), tmp_path, "", LogProgress(), code=FAIL_SECOND)
    with pytest.raises(DataError) as caught:
        shards.run("generate", 1, [0, 1, 2, 3])
    message = str(caught.value)
    assert "1 of 4 shards failed" in message
    assert "shard 1/4 on GPU" in message and "exit code 65: error: row 7 is no row" in message
    assert [name for name in "0123" if (tmp_path / name).exists()] == ["0", "2", "3"]


INTERRUPTED = """
import pathlib, sys
from pipeline.paths import Home
from pipeline.progress import LogProgress
from tests.test_gpus import _Children
folder = pathlib.Path(sys.argv[1])
sleep = "import os, pathlib, sys, time; pathlib.Path(sys.argv[2], sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
_Children(Home(folder), "lab", 2, ("0", "1"), folder, "", LogProgress(), code=sleep).run("generate", 1, [0, 1])
"""


def test_interrupt_ends_all_shards(tmp_path: Path, repository: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(tmp_path)], cwd=repository)
    files = [tmp_path / "0", tmp_path / "1"]
    try:
        _wait_until(lambda: all(file.exists() and file.read_text() for file in files))
        run.send_signal(signal.SIGINT)
        run.wait(timeout=60)
        assert not [file for file in files if psutil.pid_exists(int(file.read_text()))]
    finally:
        run.kill()


def _wait_until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_part_of_a_leased_experiment_is_run_within_that_lease_alone(tmp_path: Path) -> None:
    ours, theirs = Store(Home(tmp_path)), Store(Home(tmp_path))
    ours.migrate()
    with ours.lease("lab", "star run") as whole:
        with theirs.lease("lab", "star stage", scope="1/generate/0", within=whole.holder):
            with (
                pytest.raises(LeaseHeldError),
                ours.lease("lab", "x", scope="1/generate/0", within=whole.holder),
            ):
                pass
            with ours.lease("lab", "star stage", scope="1/generate/1", within=whole.holder):
                pass
        with pytest.raises(LeaseHeldError), theirs.lease("lab", "x", scope="1/generate/0", within="another"):
            pass


ROWS = (
    "select rationales.round, origin, problem_id, sample, text, seed, outcome from rationales "
    "join verdicts using (experiment, rationale_id) where not rationales.superseded order by all"
)


@pytest.mark.slow
def test_run_on_two_gpus_gives_the_rows_of_one_after_another(selected: Path, tmp_path: Path) -> None:
    config = selected / "project" / "sums.yaml"
    visible = {"CUDA_VISIBLE_DEVICES": "4,5"}
    on_two = ("run", str(config), "--until", "select", "--set", "shards=2", "--gpus", "2")
    told = star(*on_two, home=tmp_path, env=visible)
    assert told.returncode == 0, told.stderr
    assert "[shard 0/2 on GPU " in told.stderr and "[shard 1/2 on GPU " in told.stderr
    sharded, whole = Store(Home(tmp_path)), Store(Home(selected / "home"))
    assert sharded.query_readonly(ROWS)[1] == whole.query_readonly(ROWS)[1]
    runs = sharded.rows("last_runs_of_stages", experiment=NAME)
    done = {(row["stage"], row["shard"]) for row in runs if row["status"] == "done"}
    assert {("generate", 0), ("generate", 1), ("verify_generated", 1), ("evaluate", 1)} <= done
    assert ("select", 1) not in done
    again = star(*on_two, "--json", home=tmp_path, env=visible)
    assert json.loads(again.stdout.splitlines()[-1])["reason"] == "stopped after select of round 1, as asked"
    assert "on GPU" not in again.stderr


def test_run_on_more_gpus_than_there_are_starts_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path / "project")
    told = star("run", str(config), "--gpus", "2", home=tmp_path / "home", env={"CUDA_VISIBLE_DEVICES": "0"})
    assert told.returncode == 64
    assert "--gpus 2: expected 1 to 1; there are 1 (0)" in told.stderr
    assert not (tmp_path / "home").exists()
