"""`star run` and `star stage` as processes: rows per round, going on, stopping."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import NAME, star, write_config


@pytest.fixture
def project(tmp_path: Path, selected: Path) -> tuple[Path, Path]:
    """A copy of the home of the experiment up to its first selection, and its config."""
    shutil.copytree(selected / "home", tmp_path / "home")
    return tmp_path / "home", selected / "project" / "sums.yaml"


def test_run_until_a_stage_printed_round_zero_and_stopped_there(selected: Path) -> None:
    header, first = (selected / "done").read_text().splitlines()
    assert header.split()[:2] == ["round", "problems"]
    assert first.split()[:5] == ["0", "-", "-", "-", "-"]
    assert "50.0% [15.0%, 85.0%]" in first


def test_run_again_skips_what_is_done(project: tuple[Path, Path]) -> None:
    home, config = project
    told = star("run", str(config), "--until", "select", "--json", home=home)
    assert told.returncode == 0, told.stderr
    (round_zero, end) = [json.loads(line) for line in told.stdout.splitlines()]
    assert (round_zero["round"], round_zero["eval_accuracy"]) == (0, 0.5)
    assert end == {"experiment": NAME, "reason": "stopped after select of round 1, as asked"}
    rows = Store(Home(home)).rows("last_runs_of_stages", experiment=NAME)
    assert {row["execution"] for row in rows if row["stage"] in ("generate", "select", "evaluate")} == {1}


def test_run_with_another_config_says_what_differs_and_changes_nothing(project: tuple[Path, Path]) -> None:
    home, config = project
    told = star("run", str(config), "--set", "generate.samples=3", home=home)
    assert told.returncode == 64
    assert "generate.samples: 2, 3" in told.stderr and f"star fork {NAME}" in told.stderr
    assert "Traceback" not in told.stderr


def test_stage_done_is_left_alone_unless_forced(project: tuple[Path, Path]) -> None:
    home, _ = project
    told = star("stage", "select", NAME, "--round", "1", "--json", home=home)
    assert json.loads(told.stdout)["outcomes"] == ["was done"]
    told = star("stage", "select", NAME, "--round", "1", "--force", home=home)
    assert told.returncode == 0, told.stderr
    assert "round 1 select: 16 attempts: 3 kept" in told.stderr
    (row,) = [
        row
        for row in Store(Home(home)).rows("last_runs_of_stages", experiment=NAME)
        if row["stage"] == "select"
    ]
    assert (row["execution"], row["status"]) == (2, "done")


def test_stage_creates_a_new_experiment_and_runs_its_shards(tmp_path: Path) -> None:
    config = str(write_config(tmp_path / "project"))
    home = tmp_path / "home"
    told = star("stage", "prepare", "parts", "--round", "0", "--config", config, home=home)
    assert told.returncode == 0, told.stderr
    for shard in ("1/2", "0/2"):
        told = star("stage", "evaluate", "parts", "--round", "0", "--shard", shard, home=home)
        assert told.returncode == 0, told.stderr
    rows = Store(Home(home)).rows("last_runs_of_stages", experiment="parts")
    assert sorted(
        (row["shard"], row["shards"], row["rows_out"]) for row in rows if row["stage"] == "evaluate"
    ) == [
        (0, 2, 8),
        (1, 2, 8),
    ]
    told = star("stage", "train", "parts", "--round", "1", home=home)
    assert told.returncode == 66
    assert "star stage select parts --round 1" in told.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_run_cleanly_and_says_how_to_go_on(
    number: signal.Signals, code: int, project: tuple[Path, Path]
) -> None:
    home, config = project
    arguments = ["--home", str(home), "run", str(config)]
    repository = str(Path(__file__).resolve().parents[2])
    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        env={**os.environ, "PYTHONPATH": repository},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        store = Store(Home(home))
        _wait_for(
            lambda: any(row["stage"] == "train" for row in store.rows("last_runs_of_stages", experiment=NAME))
        )
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, "Traceback" in said) == (code, False), said
    assert "interrupted; what is finished is kept. Go on with the same command: star --home" in said.replace(
        "\n", " "
    )
    told = star("status", NAME, "--json", home=home)
    shown = json.loads(told.stdout)
    assert (shown["held_by"], shown["errors"]) == ([], [])
    assert {stage["stage"]: stage["state"] for stage in shown["stages"]}["train"] == "interrupted"


def test_signal_within_a_query_of_the_store_is_told_as_an_interruption(project: tuple[Path, Path]) -> None:
    home, _ = project
    Home(home).snapshot_path.unlink(missing_ok=True)  # it is made anew right before the query starts
    hours = "select sum(hash(a.range + b.range)) from range(1000000) a, range(10000000) b"
    query = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--home", str(home), "sql", hours],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(Home(home).snapshot_path.exists)
        query.send_signal(signal.SIGTERM)
        _, said = query.communicate(timeout=60)
    finally:
        query.kill()
    assert query.returncode == 143, said
    assert said.startswith("error: interrupted; what is finished is kept."), said


def _wait_for(happened: object, timeout_s: float = 120) -> None:
    assert callable(happened)
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.2)
