"""`star run` killed again and again ends where an uninterrupted run ends, and asks for nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.store import Store
from pipeline.store.checks import run_checks
from pipeline.store.tables import read_rows
from pipeline.tiny_base import ensure_tiny_base

SETTINGS = (
    "rounds=1", "problems.sources.columns.train=400", "problems.sources.columns.max_columns=3",
    "problems.sources.columns.eval_per_size={2: 40, 3: 40}", "generate.problems=48", "generate.samples=3",
    "generate.max_tokens=40", "engine.batch_size=8", "select.filter=none", "train.steps=12", "model.tiny=null",
)  # fmt: skip
PATIENCE_S = 600.0
STAGES_TO_HIT = ("generate", "commit", "train", "evaluate")
Condition = Callable[[Path], bool]


@dataclass
class Victim:
    """One experiment in its own home, and what was on disk at each kill."""

    home: Path
    base: Path
    seed: int
    fuse: bool = False
    flushed: dict[str, Any] = field(default_factory=dict)
    hit: Counter[str] = field(default_factory=Counter)

    def start(self) -> subprocess.Popen[bytes]:
        further = (f"model.base={self.base}", f"seed={self.seed}", f"generate.fuse={str(self.fuse).lower()}")
        overrides = [f"--set={setting}" for setting in (*SETTINGS, *further)]
        command = [sys.executable, "-m", "pipeline", "run", "addition", "--experiment", "victim", *overrides]
        environment = {**os.environ, "STAR_HOME": str(self.home)}
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> float:
        """Run to the end; the seconds it took."""
        started = time.monotonic()
        process = self.start()
        assert process.wait(timeout=PATIENCE_S) == 0, self.log()
        return time.monotonic() - started

    def kill_when(self, condition: Condition) -> bool:
        """Start, kill -9 as soon as the condition holds; False if the run ended before."""
        process = self.start()
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and not condition(self.home):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.001)
        if process.poll() is not None:
            assert process.returncode == 0, self.log()
            return False
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self._look()
        return True

    def _look(self) -> None:
        """Remember every flushed completion, and which stage the kill hit."""
        for part in self.home.glob("experiments/victim/*/*/*/*/**/parts/*.parquet"):
            for row in read_rows(part):
                self.flushed.setdefault(row["rationale_id"], row["created_at"])
        if not (self.home / "star.duckdb").exists():
            self.hit["set-up"] += 1
            return
        running = Store(Home(self.home)).query_readonly(
            "select stage, input_digest from stage_runs where status = 'running' order by started_at desc limit 1"
        )[1]
        stage = running[0][0] if running else "between"
        folders = self.home.glob(f"experiments/victim/*/{stage}/*/shard-*/*.parquet")
        written = [file for file in folders if file.name != "rows.parquet"]
        self.hit["commit" if running and written else stage] += 1

    def log(self) -> str:
        return (self.home.parent / f"{self.home.name}.log").read_text(errors="replace")[-4000:]

    def table(self, sql: str) -> list[tuple[Any, ...]]:
        return Store(Home(self.home)).query_readonly(sql)[1]


def _appears(pattern: str, delay: float = 0.0) -> Condition:
    """True `delay` seconds after a file of the pattern is there that was not there at the first look."""
    known: set[Path] | None = None
    since: float | None = None

    def holds(home: Path) -> bool:
        nonlocal known, since
        found = set(home.glob(f"experiments/victim/{pattern}"))
        if known is None:
            known = found
        if since is None and found - known:
            since = time.monotonic()
        return since is not None and time.monotonic() - since >= delay

    return holds


def _after(seconds: float) -> Condition:
    started = time.monotonic()
    return lambda home: time.monotonic() - started >= seconds


OUTCOME = {
    "texts": "select rationale_id, problem_id, sample, text, finish_reason, seed from rationales order by 1",
    "verdicts": "select rationale_id, outcome, reason, answer from verdicts order by 1",
    "selection": "select rationale_id, prompt, completion, input_ids from training_rows order by 1",
    "rejections": "select rationale_id, problem_id, reason from rejections order by all",
    "checkpoint": "select round, content_hash, training_set_digest, rows, steps from checkpoints",
    "evaluations": "select round, split, metric, difficulty, correct, value from evaluations order by all",
}


@pytest.mark.slow
def test_killed_runs_end_as_an_uninterrupted_one_and_ask_for_nothing_twice(tmp_path: Path) -> None:
    base = ensure_tiny_base(
        ColumnAdditionBase(steps=60, max_columns=3, context=128), tmp_path / "bases", LogProgress()
    )
    hits: Counter[str] = Counter()
    for seed in range(3):
        whole = Victim(tmp_path / f"whole-{seed}", base, seed)
        length = whole.finish()
        chance = random.Random(seed)
        for torment in (_kill_at_each_kind_of_moment, _kill_at_uniform_delays):
            # One of three runs is fused: it ends as the separate stages that were left alone.
            victim = Victim(tmp_path / f"{torment.__name__}-{seed}", base, seed, fuse=seed == 1)
            torment(victim, length, chance)
            victim.finish()
            hits += victim.hit
            _assert_equal(whole, victim)
    print(f"kills by stage: {dict(hits)}")
    assert hits.total() >= 21
    assert all(hits[stage] >= 3 for stage in STAGES_TO_HIT), hits


def _kill_at_each_kind_of_moment(victim: Victim, length: float, chance: random.Random) -> None:
    """In the order in which a run comes by them."""
    aimed = [
        _appears("round-000/evaluate/*/*/**/parts/*.parquet"),
        _appears("round-001/generate/*/*/parts/*.parquet"),
        _appears("round-001/generate/*/*/parts/*.parquet"),
        _appears("round-001/generate/*/*/rationales.parquet"),
        _appears("round-001/rationalize/*/*/rationales.parquet"),
        _appears("round-001/select/*/*/training_rows.parquet"),
        _appears("round-001/train/*/*/rows.parquet", delay=chance.uniform(0.0, 4.0)),
    ]
    for condition in aimed:
        assert victim.kill_when(condition), victim.log()


def _kill_at_uniform_delays(victim: Victim, length: float, chance: random.Random) -> None:
    """Until a delay is longer than what is left to do, three times at most."""
    for _ in range(3):
        if not victim.kill_when(_after(chance.uniform(0.0, length))):
            return


def _assert_equal(whole: Victim, victim: Victim) -> None:
    for name, sql in OUTCOME.items():
        current = sql.replace(" order by", " where not superseded order by") if "order by" in sql else sql
        assert victim.table(current) == whole.table(current), f"{name} differ after kills"
    stored = dict(victim.table("select rationale_id, created_at from rationales where not superseded"))
    asked_twice = [key for key, made in victim.flushed.items() if key in stored and stored[key] != made]
    assert not asked_twice
    doubled = victim.table(
        "select rationale_id from rationales where not superseded group by 1 having count(*) > 1"
    )
    assert not doubled
    assert not run_checks(Store(Home(victim.home)), "victim")


@pytest.mark.slow
def test_two_starts_at_once_the_second_says_who_holds_the_experiment_and_leaves(tmp_path: Path) -> None:
    base = ensure_tiny_base(
        ColumnAdditionBase(steps=0, max_columns=3, context=128), tmp_path / "bases", LogProgress()
    )
    first, second = (Victim(tmp_path / "home", base, 0) for _ in range(2))
    running = first.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "home" / "experiments").exists() and running.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        late = second.start()
        assert late.wait(timeout=PATIENCE_S) == 75, second.log()
        assert f"process {running.pid}" in second.log() or f"pid {running.pid}" in second.log()
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
