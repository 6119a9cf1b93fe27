"""LoRA adapters on a base that is loaded once: vllm for real, on a CPU, beside weights that were merged."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.engines import EngineConfig
from pipeline.engines.adapters import is_adapter, rank_of, vllm_rank
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.engines.vllm_engine import load_arguments
from pipeline.engines.weights import content_names
from pipeline.records import Sampling
from pipeline.training.adapters import save_adapter
from pipeline.training.checkpoints import copy_companions, require_checkpoint
from tests.engines.conftest import OpenEngine
from tests.engines.tiny_models import run_all, word_requests

GREEDY = Sampling(12, temperature=0)


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A random adapter of rank 4 as a training leaves it; the merged model lies in `merged` beside it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.15)
    adapter, merged = folder / "adapter", folder / "merged"
    adapter.mkdir(parents=True)
    save_adapter(model, adapter, base_model="the-base")
    copy_companions(base, adapter)
    model.merge_and_unload().save_pretrained(merged)
    copy_companions(base, merged)
    return adapter


@pytest.fixture(scope="module")
def adapters(word_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [make_adapter(word_model, folder / str(seed), seed) for seed in (1, 2)]


def test_adapter_folder_is_a_checkpoint_without_the_weights_of_its_base(adapters: list[Path]) -> None:
    first = adapters[0]
    assert is_adapter(first) and rank_of(first) == 4
    assert require_checkpoint(first) == first
    assert not (first / "model.safetensors").exists()
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json"} <= set(content_names(first))
    config = json.loads((first / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "the-base"
    assert config["target_modules"] == sorted(config["target_modules"])


def texts(engine: TransformersEngine) -> dict[str, str]:
    return {done.request_id: done.text for done in run_all(engine, word_requests(20), GREEDY).values()}


def test_adapter_on_its_base_writes_what_the_merged_weights_write(
    word_model: Path, adapters: list[Path], open_transformers: OpenEngine
) -> None:
    config = EngineConfig(kind="transformers", device="cpu")
    on_base = TransformersEngine(config, word_model, model_hash="x", chat=False, adapter=adapters[0])
    merged = texts(open_transformers(adapters[0].parent / "merged"))
    assert texts(on_base) == merged
    assert texts(open_transformers(word_model)) != merged


def test_vllm_is_told_to_leave_room_for_adapters_and_to_sleep_where_there_is_a_gpu() -> None:
    config = EngineConfig(kind="vllm", dtype="bfloat16")
    told = load_arguments(config, 512, on_cpu=False, adapter_rank=24)
    assert {
        name: told[name] for name in ("enable_lora", "max_lora_rank", "max_loras", "enable_sleep_mode")
    } == {
        "enable_lora": True,
        "max_lora_rank": 32,
        "max_loras": 1,
        "enable_sleep_mode": True,
    }
    assert load_arguments(config, 512, on_cpu=True, adapter_rank=4)["enable_sleep_mode"] is False
    assert "enable_lora" not in load_arguments(config, 512, on_cpu=False)
    assert (vllm_rank(1), vllm_rank(9), vllm_rank(1000)) == (1, 16, 512)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
def test_vllm_changes_adapters_on_one_base_and_writes_what_merged_weights_write(
    repository: Path,
    tmp_path: Path,
    word_model: Path,
    adapters: list[Path],
    open_transformers: OpenEngine,
) -> None:
    asked = {
        "requests": [dataclasses.asdict(each) for each in word_requests(20)],
        "sampling": dataclasses.asdict(GREEDY),
    }
    order = [None, adapters[0], adapters[1], None, adapters[0]]
    job = {
        "model": str(word_model),
        "chat": False,
        "config": {"kind": "vllm", "dtype": "float32", "enforce_eager": True, "batch_size": 16},
        "adapter_rank": 4,
        "passes": [{**asked, "adapter": adapter and str(adapter)} for adapter in order],
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [
        sys.executable,
        "-m",
        "tests.engines.write_texts",
        tmp_path / "job.json",
        tmp_path / "out.json",
    ]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=1400)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert ran.stderr.count("into vllm") == 1
    wrote = [
        {done["request_id"]: done["text"] for batch in one for done in batch}
        for one in json.loads((tmp_path / "out.json").read_text())["passes"]
    ]
    folders = [word_model if one is None else one.parent / "merged" for one in order]
    for found, folder in zip(wrote, folders, strict=True):
        expected = texts(open_transformers(folder))
        same = sum(found[name] == text for name, text in expected.items())
        assert same >= 0.9 * len(expected), (folder, same)  # two libraries round in their own ways
    assert wrote[1] == wrote[4] != wrote[2]
