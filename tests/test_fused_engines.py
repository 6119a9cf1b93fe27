"""`star run` with `generate.fuse` through the real engines: what comes out is what separate stages give."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.store import Store
from pipeline.store.checks import run_checks
from pipeline.tiny_base import ensure_tiny_base

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# Heads of 32, which vLLM's attention takes on a CPU.
BASE = ColumnAdditionBase(steps=60, width=64, layers=1, heads=2, ffn=64, context=64, max_columns=2)
SETTINGS = (
    "model.tiny=null", "generate.problems=24", "generate.samples=4", "rationalize.samples=2",
    "engine.batch_size=8", "engine.flush_every=8", "engine.max_model_len=64", "rounds=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_tiny_base(BASE, tmp_path_factory.mktemp("bases"), LogProgress())


def star_run(home: Path, base: Path, *settings: str, until: str) -> Store:
    """The store after `star run smoke`, always under one name, so that ids and digests can be compared."""
    command = [sys.executable, "-m", "pipeline", "run", "smoke", "--experiment", "smoke", "--until", until]
    done = subprocess.run(
        [*command, *(f"--set={setting}" for setting in (*SETTINGS, f"model.base={base}", *settings))],
        env={**os.environ, "STAR_HOME": str(home)},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    store = Store(Home(home))
    assert run_checks(store, "smoke") == []
    return store


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return store.query_readonly(sql)[1]


def test_fused_run_of_fixed_batches_equals_separate_stages_to_the_digest(base: Path, tmp_path: Path) -> None:
    separate = star_run(tmp_path / "separate", base, until="train")
    fused = star_run(tmp_path / "fused", base, "generate.fuse=true", until="train")
    for sql in (
        "select * exclude (created_at, seconds) from rationales order by all",
        "select * exclude (elapsed_ms) from verdicts order by all",
        "select * from rejections order by all",
        "select * from training_rows order by all",
        "select content_hash, training_set_digest from checkpoints",
        "select round, stage, status, input_digest, output_digest, rows_in, rows_out, tokens, engine_tokens, detail, "
        "summary from stage_runs where stage <> 'train' order by all",
    ):
        found = rows(fused, sql)
        assert found and found == rows(separate, sql), sql


def test_fused_run_of_vllm_has_the_keys_seeds_and_counts_of_separate_stages(
    base: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    engine = ("engine.kind=vllm", "engine.enforce_eager=true", "engine.dtype=float32")
    until = "verify_rationalized"
    separate = star_run(tmp_path / "separate", base, *engine, until=until)
    fused = star_run(tmp_path / "fused", base, *engine, "generate.fuse=true", until=until)
    asked = "select rationale_id, problem_id, sample, seed, prompt_hash, sampling from rationales where stage = 'generate' order by all"
    assert len(rows(fused, asked)) == 24 * 4
    assert rows(fused, asked) == rows(separate, asked)
    for store in (separate, fused):
        _rationalized_what_failed(store)
    # Of separate stages none is rationalized before generate has ended, of fused ones all are.
    before = (
        "select count(*) filter (rationales.created_at < stage_runs.finished_at), count(*) from rationales, stage_runs "
        "where origin = 'rationalized' and stage_runs.stage = 'generate'"
    )
    [(none, of_separate)], [(everything, of_fused)] = rows(separate, before), rows(fused, before)
    assert (none, everything) == (0, of_fused) and of_separate > 0


def _rationalized_what_failed(store: Store) -> None:
    failed = rows(
        store,
        "select problem_id from current_rationales where stage = 'generate' group by 1 "
        "having count(*) filter (outcome = 'correct' and finish_reason <> 'length') = 0",
    )
    wanted = Counter({problem: 2 for (problem,) in failed})
    hinted = rows(store, "select problem_id from current_rationales where stage = 'rationalize'")
    assert Counter(problem for (problem,) in hinted) == wanted
    times = "select engine_seconds between 0 and seconds, engine_tokens = tokens from stage_runs where stage in ('generate', 'rationalize')"
    assert rows(store, times) == [(True, True), (True, True)]
