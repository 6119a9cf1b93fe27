"""Rounds whose checkpoints are adapters, through vllm on a CPU: the base is loaded once for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.config.load import deciding_content
from pipeline.errors import ConfigError
from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.checks import run_checks
from tests.experiments import NAME, star, write_config

# Heads of 32, which vLLM's attention takes on a CPU. Everything that comes out is kept: noise trains a model too.
SETTINGS = (
    "model.tiny={kind: text, width: 64, layers: 1, heads: 2, ffn: 64, context: 512, vocabulary: 300, steps: 0}",
    "engine={kind: vllm, dtype: float32, enforce_eager: true, max_model_len: 512, batch_size: 8}",
    "train.lora={r: 4, alpha: 8, merge: false}", "train.learning_rate=1.0e-2", "generate.max_tokens=12",
    "select.filter=none", "select.cut_off=true", "select.choose=first", "select.per_problem=1",
    "rationalize.samples=1", "decide.max_cut_off=1.0",
)  # fmt: skip


def test_adapters_join_the_digest_only_where_they_are_asked_for(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    merged = load_config(config, ["train.lora={r: 4}"]).config.train
    alone = load_config(config, ["train.lora={r: 4, merge: false}"]).config.train
    assert "merge" not in deciding_content(merged)["lora"]
    assert deciding_content(alone)["lora"]["merge"] is False
    assert (merged.adapter_rank, alone.adapter_rank) == (None, 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.start=previous", "train.lora.merge: false needs train.start: base"),
        ("engine={kind: openai, endpoint: {serve: true}}", "engine.kind openai serves whole models"),
    ],
)
def test_adapters_that_nothing_could_load_are_refused(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write_config(tmp_path), ["train.lora={r: 4, merge: false}", setting])


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
def test_rounds_of_adapters_load_the_base_once_and_can_be_exported_and_forked(tmp_path: Path) -> None:
    config, home = write_config(tmp_path / "project", rounds=2), tmp_path / "home"
    told = subprocess.run(
        [sys.executable, "-m", "pipeline", "--home", str(home), "run", str(config)]
        + [f"--set={setting}" for setting in SETTINGS],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        timeout=2000,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("into vllm") == 1, told.stderr
    store = Store(Home(home))
    sql = "select round, path, content_hash, parent_hash, base_hash from checkpoints order by round"
    checkpoints = store.query_readonly(sql)[1]
    assert [row[0] for row in checkpoints] == [1, 2]
    assert all(row[3] == row[4] for row in checkpoints)
    for _, path, *_ in checkpoints:
        assert (home / path / "adapter_model.safetensors").is_file()
        assert not (home / path / "model.safetensors").exists()
    writers = store.query_readonly(
        "select round, origin, model_hash from rationales where round = 2 group by all order by all"
    )[1]
    assert {row[2] for row in writers if row[1] == "evaluated"} == {checkpoints[1][2]}
    assert {row[2] for row in writers if row[1] != "evaluated"} == {checkpoints[0][2]}
    assert not run_checks(store, NAME)
    told = star("export", NAME, "--what", "model", "--round", "2", "--to", str(tmp_path / "model"), home=home)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "model" / "adapter_model.safetensors").is_file()
    fork = ("fork", NAME, "other", "--from-round", "1", "--set", "engine.kind=transformers")
    assert star(*fork, home=home).returncode == 0
    told = star("run", "other", "--rounds", "2", "--until", "generate", home=home)
    assert told.returncode == 0, told.stderr
