"""Which engine a config means on this machine, and what is said where it is not to be had."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from pipeline.config.engines import EngineConfig
from pipeline.engines import open_engine, resolve_kind
from pipeline.errors import ConfigError
from pipeline.progress import LogProgress

NO_GPU = not torch.cuda.is_available()


@pytest.mark.skipif(not NO_GPU, reason="this machine has a CUDA device")
def test_kind_auto_without_a_gpu_is_transformers() -> None:
    assert resolve_kind(EngineConfig()) == "transformers"


def test_kind_auto_on_the_cpu_by_choice_is_transformers() -> None:
    assert resolve_kind(EngineConfig(device="cpu")) == "transformers"


def test_kind_named_is_taken() -> None:
    assert resolve_kind(EngineConfig(kind="scripted", script="s.jsonl")) == "scripted"
    assert resolve_kind(EngineConfig(kind="transformers")) == "transformers"


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed here")
def test_kind_vllm_where_it_is_missing_says_how_to_install_it() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'star-pipeline\[vllm\]'"):
        resolve_kind(EngineConfig(kind="vllm"))


def test_kind_vllm_in_an_interpreter_without_it_says_how_to_install_it(repository: Path) -> None:
    code = (
        "import sys; sys.modules['vllm'] = None\n"
        "from pipeline.config.engines import EngineConfig\n"
        "from pipeline.engines import resolve_kind\n"
        "print(resolve_kind(EngineConfig()))\n"
        "resolve_kind(EngineConfig(kind='vllm'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert ran.stdout.strip() == "transformers"
    assert "ConfigError" in ran.stderr and "pip install 'star-pipeline[vllm]'" in ran.stderr


def test_kind_openai_that_serves_needs_vllm_and_one_that_asks_does_not(repository: Path) -> None:
    code = (
        "import sys; sys.modules['vllm'] = None\n"
        "from pipeline.config.engines import EngineConfig\n"
        "from pipeline.engines import resolve_kind\n"
        "asks = {'url': 'http://127.0.0.1:9/v1', 'model': 'm'}\n"
        "print(resolve_kind(EngineConfig(kind='openai', endpoint=asks)))\n"
        "resolve_kind(EngineConfig(kind='openai', endpoint={'serve': True}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert ran.stdout.strip() == "openai"
    assert "engine.endpoint.serve is on, but vllm is not installed" in ran.stderr


@pytest.mark.skipif(not NO_GPU, reason="this machine has a CUDA device")
def test_transformers_on_cuda_where_there_is_none_says_what_to_set(word_model: Path) -> None:
    config = EngineConfig(kind="transformers", device="cuda")
    with pytest.raises(ConfigError, match=r"engine.device is cuda, but torch sees no CUDA device"):
        open_engine(config, word_model, model_hash="h", chat=False, progress=LogProgress())


def test_engines_package_is_imported_without_torch(repository: Path) -> None:
    code = (
        "import sys, pipeline.engines, pipeline.engines.tokenizer, pipeline.engines.weights\n"
        "import pipeline.engines.transformers_engine, pipeline.engines.vllm_engine\n"
        "print(sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
