"""How fast a stage and a round were, when they will end, and how much memory they took."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.pace import expected_end, speed_of, told_of_round
from pipeline.paths import Home
from pipeline.process import MemoryWatch
from pipeline.progress import LogProgress, Task, clock
from pipeline.runner import run_stage
from pipeline.store import Store
from tests.experiments import NAME
from tests.stages.conftest import Lab, lab, text_base  # noqa: F401

RUN = {
    "seconds": 4.0,
    "engine_tokens": 100,
    "engine_seconds": 3.0,
    "peak_memory": 640.0,
    "peak_gpu_memory": None,
}


class StopAfter(LogProgress):
    """Interrupts the stage after some flushes, as a person would."""

    def __init__(self, flushes: int) -> None:
        super().__init__(io.StringIO())
        self._flushes = flushes

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "") -> Iterator[Task]:
        with super().task(title, total, unit) as inner:
            yield _Stopping(inner, self._flushes)


class _Stopping:
    def __init__(self, inner: Task, flushes: int) -> None:
        self._inner, self._left = inner, flushes

    def advance(self, done: int = 1, detail: str = "") -> None:
        self._inner.advance(done, detail)
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def resume(self, done: int) -> None:
        self._inner.resume(done)


def test_speed_names_rate_share_of_the_engine_and_memory() -> None:
    assert speed_of(RUN) == "4.0 s, 25 tokens/s, engine 75%, 640 MiB"
    assert speed_of({**RUN, "peak_gpu_memory": 70_120.4}).endswith("640 MiB, 70,120 MiB of the GPU")


def test_speed_of_a_stage_without_a_model_is_its_time() -> None:
    assert speed_of({**RUN, "engine_tokens": None, "engine_seconds": None}) == "4.0 s, 640 MiB"


def test_stages_record_tokens_engine_time_and_memory(finished: Path) -> None:
    columns = "stage, engine_tokens = tokens, engine_seconds > 0, engine_seconds < seconds, peak_memory > 50"
    query = f"select {columns}, peak_gpu_memory from stage_runs where round = 1"
    recorded = {row[0]: row[1:] for row in Store(Home(finished / "home")).query_readonly(query)[1]}
    assert {recorded[stage] for stage in ("generate", "rationalize", "train")} == {
        (True, True, True, True, None)
    }
    assert recorded["verify_generated"] == (None, None, None, True, None)


def test_completions_found_on_disk_are_not_counted_as_written_again(lab: Lab) -> None:  # noqa: F811
    for stage, round_ in (
        ("prepare", 0),
        ("evaluate", 0),
        ("verify_evaluated", 0),
        ("check", 0),
        ("decide", 0),
    ):
        run_stage(lab.session(), stage, round_)
    run_stage(lab.session(), "prepare", 1)
    session = lab.session()
    session.progress = StopAfter(2)
    with pytest.raises(KeyboardInterrupt):
        run_stage(session, "generate", 1)
    run_stage(lab.session(), "generate", 1)
    finished = "select tokens, engine_tokens, detail->>'resumed' from stage_runs where stage = 'generate' and status = 'done'"
    [(tokens, engine_tokens, resumed)] = lab.rows(finished)
    assert (int(resumed), engine_tokens * 12) == (8, tokens * 4)  # of 12 texts of equal length, 8 were there


def test_round_before_says_when_this_one_ends(finished: Path) -> None:
    store = Store(Home(finished / "home"))
    told = list(told_of_round(store, NAME, 1, 2))
    assert told[0].startswith("round 1: ") and "tokens/s, engine " in told[0]
    assert told[1].startswith("round 2 of 2 ends about ")
    assert len(list(told_of_round(store, NAME, 2, 2))) == 1
    assert (expected_end(store, NAME, 2, ["train", "evaluate"]) or "").startswith("round 2 ends about ")
    assert expected_end(store, NAME, 1, ["train"]) is None  # round 0 trains nothing


def test_log_says_when_it_ends_and_leaves_out_what_was_there() -> None:
    log = io.StringIO()
    with LogProgress(log, every_s=0.0).task("texts", 100) as task:
        task.resume(90)
        task.advance(1)
    assert log.getvalue().startswith("texts: 91/100 (91%)")
    assert "s left, until " in log.getvalue() and " UTC" in log.getvalue()


def test_clock_shows_the_date_where_it_is_another_day() -> None:
    assert clock(0).endswith(" UTC") and len(clock(0)) == len("14:31 UTC")
    assert clock(3 * 86_400) > f"{datetime.now(UTC):%Y-%m-%d}"


def test_memory_of_a_child_counts() -> None:
    with MemoryWatch() as alone:
        pass
    hold = "import sys; held = bytearray(64 << 20); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        with MemoryWatch() as both:
            pass
        assert child.stdin is not None
        child.stdin.close()
    assert both.peak_mib > alone.peak_mib + 60
