"""`star demo`, and the runs beside each other of its ablation."""

import json
import os
import re
import time
from pathlib import Path

import psutil
import pytest

from pipeline.cli.demo import ARMS
from pipeline.cli.side_by_side import run_side_by_side
from pipeline.config import load_config
from pipeline.errors import StarError
from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import star

SMALL = (
    "model.tiny.steps=60",
    "model.tiny.width=64",
    "model.tiny.layers=2",
    "model.tiny.batch_size=24",
    "model.tiny.max_columns=2",
    "problems.sources.columns.train=80",
    "problems.sources.columns.max_columns=2",
    "problems.sources.columns.eval_per_size={1: 10, 2: 10}",
    "generate.problems=40",
    "train.steps=4",
    "train.batch_size=8",
)


class Heard:
    """What runs said, by name."""

    def __init__(self) -> None:
        self.results: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str]] = []

    def run(self, commands: dict[str, list[str]], at_once: int = 2) -> None:
        run_side_by_side(
            commands,
            at_once=at_once,
            on_result=lambda name, line: self.results.append((name, line)),
            on_note=lambda name, line: self.notes.append((name, line)),
        )


def test_runs_beside_each_other_are_all_heard_to_their_end(tmp_path: Path) -> None:
    heard = Heard()
    names = [f"seed-{seed}" for seed in range(3)]
    heard.run({name: ["config", "addition", "--set", f"seed={name[-1]}", "--json"] for name in names})
    assert sorted(name for name, _ in heard.results) == names
    assert {name: json.loads(line)["config"]["seed"] for name, line in heard.results} == {
        "seed-0": 0,
        "seed-1": 1,
        "seed-2": 2,
    }


def test_run_that_fails_ends_the_others_and_says_its_last_words(tmp_path: Path) -> None:
    heard = Heard()
    home = ["--home", str(tmp_path / "home")]
    long = [*home, "run", "addition", "--experiment", "long", "--set", "model.tiny.steps=100000"]
    with pytest.raises(StarError, match=r"bad ended with exit code 64.*\n(.*\n)*.*'nowhere' not found"):
        heard.run({"long": long, "bad": [*home, "run", "nowhere"]})
    deadline = time.monotonic() + 30
    while _children_at(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _children_at(str(tmp_path)) == []


def _children_at(folder: str) -> list[int]:
    children = psutil.Process(os.getpid()).children(recursive=True)
    return [child.pid for child in children if child.is_running() and folder in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command


def test_arms_differ_from_the_demo_in_what_their_titles_say() -> None:
    base = load_config(Path("addition")).config
    changed = {
        title: load_config(Path("addition"), overrides).config for title, (_, overrides) in ARMS.items()
    }
    assert changed["with rationalization"] == base
    without = changed["no rationalization"]
    assert (without.rationalize.enabled, without.generate.samples) == (False, base.generate.samples + 1)
    assert changed["no filter"].select.filter == "none"
    for config in (without, changed["no filter"]):
        assert (config.train, config.model, config.problems) == (base.train, base.model, base.problems)


@pytest.mark.slow
def test_demo_ablation_prints_rows_of_each_arm_and_writes_a_comparison(tmp_path: Path) -> None:
    settings = [part for value in SMALL for part in ("--set", value)]
    told = star("demo", "--ablation", "--rounds", "1", "--seed", "3", *settings, home=tmp_path / "home")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    for title in ARMS:
        rounds = [re.split(r"\s{2,}", line)[1] for line in lines if line.startswith(f"{title} ")]
        assert rounds == ["0", "1"], told.stdout
    report = Path(lines[-1].removeprefix("report: "))
    page = report.read_text()
    assert report.name == "comparison.html"
    assert all(title in page for title in ARMS)
    assert "length generalization" in page
    assert (report.parent / "comparison-accuracy.png").is_file()
    names = {row["experiment"] for row in Store(Home(tmp_path / "home")).rows("all_experiments")}
    assert names == {"demo-s3", "demo-s3-no-hint", "demo-s3-no-filter"}
    assert len(list((tmp_path / "home" / "bases").glob("column-addition-*"))) == 1
