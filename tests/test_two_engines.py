"""`star run configs/gsm8k.yaml` through both real engines, on a tiny base and a CPU: the whole first round."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.checks import run_checks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ENGINES = ("transformers", "vllm")
# Heads of 32, which vLLM's attention takes on a CPU. Everything that comes out is kept: noise trains a model too.
SETTINGS = (
    "problems.sources.train.limit=40", "problems.sources.test.limit=6", "problems.dev_from_train=6",
    "problems.exemplars_from_train=1", "prompts.few_shot=[]", "model.base=tiny", "model.revision=null",
    "model.tiny={kind: text, width: 64, layers: 1, heads: 2, ffn: 64, context: 1024, vocabulary: 512, steps: 0}",
    "engine.device=cpu", "engine.max_model_len=1024", "engine.batch_size=8", "engine.enforce_eager=true",
    "generate.problems=4", "generate.samples=2", "generate.max_tokens=12", "rationalize.samples=1",
    "select.filter=none", "select.cut_off=true", "select.choose=first", "select.per_problem=1", "train.epochs=1",
    "train.micro_batch_size=4", "train.max_length=1024", "decide.max_cut_off=1.0", "verify.workers=1", "rounds=1",
)  # fmt: skip


def _star_run(home: Path, data: Path, engine: str) -> subprocess.CompletedProcess[str]:
    settings = [*SETTINGS, f"problems.data_dir={data}", f"engine.kind={engine}"]
    command = [sys.executable, "-m", "pipeline", "run", "configs/gsm8k.yaml", "--experiment", engine]
    return subprocess.run(
        [*command, *(f"--set={setting}" for setting in settings)],
        env={**os.environ, "STAR_HOME": str(home)},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Store:
    """A home in which each engine has run one round."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("the vllm of a machine with a GPU does not run on its CPU")
    home = tmp_path_factory.mktemp("engines") / "home"
    for engine in ENGINES:
        done = _star_run(home, shared_data / "gsm8k", engine)
        assert done.returncode == 0, f"{engine}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert f"{engine}: the one round is done" in done.stderr
    return Store(Home(home))


def _rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return store.query_readonly(sql)[1]


def test_both_engines_write_every_attempt_of_the_first_round_and_say_so_in_it(store: Store) -> None:
    rows = _rows(
        store,
        "select experiment, engine, origin, round, count(*) from rationales where not superseded group by all",
    )
    expected = {("generated", 1): 8, ("rationalized", 1): 4, ("evaluated", 0): 24, ("evaluated", 1): 12}
    for engine in ENGINES:
        of_engine = {
            (origin, round_): number for name, kind, origin, round_, number in rows if name == engine
        }
        of_engine.pop(("rationalized", 1), None)
        assert of_engine == {key: number for key, number in expected.items() if key[0] != "rationalized"}
        assert {kind for name, kind, *_ in rows if name == engine} == {engine}


def test_both_engines_are_asked_the_same_prompts_with_the_same_seeds(store: Store) -> None:
    asked = {
        engine: _rows(
            store,
            "select problem_id, sample, prompt_style, prompt_hash, seed, prompt_tokens from rationales "
            f"where experiment = '{engine}' and (origin = 'generated' or round = 0) order by all",
        )
        for engine in ENGINES
    }
    assert len(asked["vllm"]) == 8 + 24
    assert asked["vllm"] == asked["transformers"]


def test_both_engines_read_the_checkpoint_that_the_round_trained(store: Store) -> None:
    trained = dict(_rows(store, "select experiment, content_hash from checkpoints"))
    wrote = _rows(
        store,
        "select distinct experiment, model_hash from rationales where round = 1 and origin = 'evaluated'",
    )
    assert dict(wrote) == trained
    assert set(trained) == set(ENGINES)
    base = _rows(store, "select distinct model_hash from rationales where round = 0")
    assert len(base) == 1
    assert base[0][0] not in trained.values()


def test_both_engines_end_with_invariants_that_hold(store: Store) -> None:
    for engine in ENGINES:
        assert run_checks(store, engine) == []
        measured = _rows(
            store, f"select count(*) from evaluations where experiment = '{engine}' and round = 1"
        )
        assert measured[0][0] > 0
