"""A round whose texts come from a `vllm serve` that `star run` starts, keeps, and gives back however it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.checks import run_checks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]

# Heads of 32, which vLLM's attention takes on a CPU. Everything that comes out is kept: noise trains a model too.
CONFIG = """
rounds: 1
model:
  base: tiny
  tiny: {kind: text, width: 64, layers: 1, heads: 2, ffn: 64, context: 512, vocabulary: 512, steps: 0}
problems:
  sources:
    train: {kind: jsonl, path: train.jsonl, fields: {problem_id: id}}
    dev: {kind: jsonl, path: dev.jsonl, split: dev, fields: {problem_id: id}}
engine: {kind: openai, endpoint: {serve: true}, enforce_eager: true, batch_size: 4, flush_every: 1}
generate: {samples: 2, temperature: 1.0, max_tokens: 12}
verify: {grader: {type: numeric}, workers: 1}
rationalize: {enabled: false}
select: {filter: none, cut_off: true}
train: {epochs: 1}
"""
STARTED = "starting vllm serve with "
PARTS = "home/**/parts/*.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("train", 6), ("dev", 4)):
        rows = [
            {"id": f"{name}{index}", "question": f"What is {index} + {name == 'dev'}?", "answer": str(index)}
            for index in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "served.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets of servers are made; its path is short, as that of a socket must be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def star_run(folder: Path) -> subprocess.Popen[str]:
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(folder / "served.yaml")],
            env={**os.environ, "STAR_HOME": str(folder / "home")},
            cwd=Path(__file__).resolve().parents[1],
            stdout=log,
            stderr=log,
            text=True,
        )


def end_when(folder: Path, happened: Callable[[], bool], number: int) -> int:
    """Start the run and send it a signal once that has happened; its exit code. Nothing of it is left."""
    run = star_run(folder)
    try:
        while not happened():
            assert run.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        below = psutil.Process(run.pid).children(recursive=True)
        assert below
        run.send_signal(number)
        code = run.wait(60)
        assert not psutil.wait_procs(below, timeout=30)[1]
        return code
    finally:
        run.kill()


def test_served_round_is_written_by_one_server_for_each_model_and_none_outlives_its_run(
    folder: Path, sockets: Path
) -> None:
    # While it opens the model: by SIGTERM. While it writes: by SIGKILL, which nobody can handle.
    assert end_when(folder, lambda: any(sockets.glob("star-vllm-*")), signal.SIGTERM) == 128 + signal.SIGTERM
    assert not any(sockets.glob("star-vllm-*"))
    assert end_when(folder, lambda: any(folder.glob(PARTS)), signal.SIGKILL) == -signal.SIGKILL
    written = sum(parquet.read_metadata(part).num_rows for part in folder.glob(PARTS))

    before = (folder / "log").read_text()
    assert star_run(folder).wait(1200) == 0, (folder / "log").read_text()
    log = (folder / "log").read_text().removeprefix(before)
    # The base writes in round 0 and in round 1, the checkpoint when it is measured: one server each.
    assert log.count(STARTED) == 2
    assert sum(int(found) for found in re.findall(r"\((\d+) were on disk\)", log)) == written

    store = Store(Home(folder / "home"))
    wrote = store.query_readonly(
        "select round, origin, count(*), min(model_hash), max(model_hash), min(engine) from rationales "
        "where not superseded group by all order by all"
    )[1]
    [(base,)] = store.query_readonly("select base_hash from experiments")[1]
    [(trained,)] = store.query_readonly("select content_hash from checkpoints")[1]
    assert wrote == [
        (0, "evaluated", 4, base, base, "openai"),
        (1, "evaluated", 4, trained, trained, "openai"),
        (1, "generated", 12, base, base, "openai"),
    ]
    assert run_checks(store, "served") == []
