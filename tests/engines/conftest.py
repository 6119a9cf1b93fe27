"""Two tiny random models, made once: one that reads words, one that reads bytes and has a chat template."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.engines import EngineConfig
from pipeline.engines.transformers_engine import TransformersEngine
from tests.engines.tiny_models import CHATML, byte_tokenizer, make_model, word_tokenizer

OpenEngine = Callable[..., TransformersEngine]


@pytest.fixture(scope="session")
def word_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words only, padding apart from EOS, 96 positions."""
    return make_model(tmp_path_factory.mktemp("models") / "words", word_tokenizer(), context=96)


@pytest.fixture(scope="session")
def byte_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte-level BPE, a chat template, no padding token, 128 positions."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHATML
    return make_model(tmp_path_factory.mktemp("models") / "bytes", tokenizer, context=128)


@pytest.fixture(scope="session")
def open_transformers() -> OpenEngine:
    """A transformers engine on a CPU: `open_transformers(path, batch_size=..., chat=...)`."""

    def opened(path: Path, *, chat: bool = False, **settings: Any) -> TransformersEngine:
        config = EngineConfig(kind="transformers", device="cpu", **settings)
        return TransformersEngine(config, path, model_hash="hash", chat=chat)

    return opened


@pytest.fixture(scope="session")
def words_engine(word_model: Path, open_transformers: OpenEngine) -> TransformersEngine:
    return open_transformers(word_model, batch_size=16)


@pytest.fixture(scope="session")
def bytes_engine(byte_model: Path, open_transformers: OpenEngine) -> TransformersEngine:
    return open_transformers(byte_model, batch_size=16)
