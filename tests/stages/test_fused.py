"""One process writes, grades and rationalizes: the tables are those of stages that ran one by one."""

from __future__ import annotations

import copy
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from pipeline import sampling
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import ConfigError
from pipeline.paths import Home
from pipeline.progress import LogProgress, Task
from pipeline.records import Request
from pipeline.runner import run_stage
from pipeline.store.checks import run_checks
from tests.stages.conftest import Lab, lab, right, text_base  # noqa: F401

FUSE = "generate.fuse=true"
ROUND_0 = ("prepare", "evaluate", "verify_evaluated", "check", "decide")
WRITE = ("generate", "verify_generated", "rationalize", "verify_rationalized")
TABLES = {
    "rationales": "exclude (superseded, created_at, seconds)",
    "verdicts": "exclude (superseded, elapsed_ms)",
    "rejections": "exclude (superseded)",
    "prompts": "",
    "stage_runs": "exclude (execution, seconds, engine_seconds, peak_memory, started_at, finished_at)",
}
"""Tables, digests included, without the columns that are of the moment."""


@pytest.fixture
def mixed(lab: Lab) -> Lab:  # noqa: F811
    """p0 comes out right, p1 for one sample of two, p2 and p3 with the hint, p4 and p5 never."""
    lab.says("p0", [right(0)])
    lab.says("p1", [right(2), right(1000)])
    lab.says("p2", [right(4)], origin="rationalized")
    lab.says("p3", [right(6), right(1000)], origin="rationalized")
    return lab


def start(lab: Lab, *settings: str) -> None:  # noqa: F811
    """Round 0, and the preparation of round 1."""
    for stage in ROUND_0:
        run_stage(lab.session(settings), stage, 0)
    run_stage(lab.session(settings), "prepare", 1)


def apart(lab: Lab) -> Lab:  # noqa: F811
    """The same experiment in a home of its own, for stages that run one by one."""
    other = copy.copy(lab)
    other.home = Home(lab.folder / "separate")
    return other


def assert_equal(one: Lab, other: Lab, *tables: str) -> None:
    for name in tables or TABLES:
        sql = f"select * {TABLES[name]} from {name}"
        rows = Counter(map(str, one.rows(sql)))
        assert rows == Counter(map(str, other.rows(sql))), name
        assert rows or name == "rejections"


class Stopped(LogProgress):
    """Ends the process, as far as a test can, after some flushes."""

    def __init__(self, flushes: int) -> None:
        super().__init__(io.StringIO())
        self.left = flushes

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "") -> Iterator[Task]:
        with super().task(title, total, unit) as inner:
            yield _Stopping(inner, self)


class _Stopping:
    def __init__(self, inner: Task, stopped: Stopped) -> None:
        self._inner, self._stopped = inner, stopped

    def advance(self, done: int = 1, detail: str = "") -> None:
        self._stopped.left -= 1
        if self._stopped.left < 0:
            raise KeyboardInterrupt

    def resume(self, done: int) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str, int]]]:
    """What the scripted engine wrote, one list for each time that it was asked for completions."""
    passes: list[list[tuple[str, str, int]]] = []
    complete, completion_of = ScriptedEngine.complete, ScriptedEngine._completion

    def recorded(self: ScriptedEngine, groups: Any, sampling: Any) -> Iterator[Any]:
        passes.append([])
        yield from complete(self, groups, sampling)

    def noted(self: ScriptedEngine, request: Request) -> Any:
        passes[-1].append(self.keys[request.request_id])
        return completion_of(self, request)

    monkeypatch.setattr(ScriptedEngine, "complete", recorded)
    monkeypatch.setattr(ScriptedEngine, "_completion", noted)
    return passes


@pytest.mark.parametrize(
    "settings",
    [
        ("rationalize.samples=3", "engine.flush_every=1"),
        ("rationalize.when=pass_rate_below", "rationalize.below=0.9", "rationalize.regenerate=true"),
        ("rationalize.share=0.5",),
    ],
    ids=lambda settings: settings[0],
)
def test_fused_run_has_the_rows_and_records_of_separate_stages(
    mixed: Lab, settings: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK", 5)
    mixed.run(*settings, FUSE, until="select")
    separate = apart(mixed)
    separate.run(*settings, until="select")
    assert_equal(mixed, separate)


def test_fused_run_writes_the_rationalizations_while_the_engine_is_at_generate(
    mixed: Lab, asked: list[list[tuple[str, str, int]]]
) -> None:
    start(mixed, FUSE)
    asked.clear()
    run_stage(mixed.session([FUSE]), "write", 1)
    (once,) = asked
    assert Counter(origin for _, origin, _ in once) == {"generated": 12, "rationalized": 4}
    assert [problem for problem, origin, _ in once if origin == "rationalized"] == ["p2", "p3", "p4", "p5"]


@pytest.mark.parametrize("flushes", [1, 4])
def test_fused_run_that_was_interrupted_asks_for_nothing_twice(
    mixed: Lab, asked: list[list[tuple[str, str, int]]], flushes: int
) -> None:
    start(mixed, FUSE)
    asked.clear()
    session = mixed.session([FUSE, "engine.flush_every=3"])
    session.progress = Stopped(flushes)
    with pytest.raises(KeyboardInterrupt):
        run_stage(session, "write", 1)
    flushed = Counter(asked[0])
    # A run that goes on stage by stage, and one that is fused again, both stand on what was flushed.
    run_stage(mixed.session([]), "generate", 1)
    run_stage(mixed.session([FUSE]), "write", 1)
    everything = Counter(key for once in asked for key in once)
    assert flushed and set(everything.values()) == {1}
    assert Counter(origin for _, origin, _ in everything) == {"generated": 12, "rationalized": 4}
    separate = apart(mixed)
    separate.run(until="verify_rationalized")
    assert_equal(mixed, separate, "rationales", "verdicts", "prompts")


def test_fused_shards_write_ahead_and_the_stages_after_them_ask_for_nothing(
    mixed: Lab, asked: list[list[tuple[str, str, int]]]
) -> None:
    start(mixed, FUSE, "shards=2")
    asked.clear()
    ahead = mixed.home.ahead("lab", 1)
    for shard in range(2):
        outcomes = run_stage(mixed.session([FUSE]), "write", 1, shard=shard, shards=2)
        assert outcomes == ["done"]
    assert sum(len(once) for once in asked) == 16
    assert ahead.is_dir()
    for stage in WRITE[1:]:
        for shard in range(2):
            run_stage(mixed.session(), stage, 1, shard=shard, shards=2)
    assert sum(len(once) for once in asked) == 16
    assert not ahead.exists()
    separate = apart(mixed)
    separate.run("shards=2", until="verify_rationalized")
    assert_equal(mixed, separate, "rationales", "verdicts", "prompts")


def test_fused_stages_are_done_for_a_run_without_and_again_by_force(
    mixed: Lab, asked: list[list[tuple[str, str, int]]]
) -> None:
    start(mixed, FUSE)
    assert run_stage(mixed.session([FUSE]), "write", 1) == ["done"] * 4
    assert run_stage(mixed.session([FUSE]), "write", 1) == ["was done"] * 4
    assert [run_stage(mixed.session(), stage, 1) for stage in WRITE] == [["was done"]] * 4
    asked.clear()
    assert run_stage(mixed.session([FUSE]), "write", 1, force=True) == ["done"] * 4
    assert sum(len(once) for once in asked) == 16
    assert run_checks(mixed.store, "lab") == []


def test_fused_stages_that_a_round_does_not_have_are_refused(lab: Lab) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="'write' is no stage; round 0 has prepare, evaluate"):
        run_stage(lab.session(), "write", 0)
