"""Where a model lies, what its content is called, and what is said when it is not there."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline.engines.weights import context_of, hash_model, resolve_model
from pipeline.errors import ConfigError, ModelLoadError


def test_resolve_model_given_a_folder_returns_it(word_model: Path) -> None:
    assert resolve_model(str(word_model), None) == word_model.resolve()


def test_resolve_model_of_an_absent_path_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(
        ModelLoadError, match=rf"no folder at {tmp_path}/absent.*config.json and \*.safetensors"
    ):
        resolve_model(str(tmp_path / "absent"), None)


def test_resolve_model_of_a_hub_id_while_offline_names_id_revision_and_remedy() -> None:
    with pytest.raises(ModelLoadError) as raised:
        resolve_model("star-pipeline-tests/no-such-model", "abc123")
    message = str(raised.value)
    for part in ("star-pipeline-tests/no-such-model", "abc123", "HF_HUB_OFFLINE is set", "hf download"):
        assert part in message


def test_resolve_model_refuses_pickled_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelLoadError, match=r"no \*.safetensors weights \(found pytorch_model.bin"):
        resolve_model(str(tmp_path), None)


def test_resolve_model_refuses_a_folder_without_config(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelLoadError, match="has no config.json"):
        resolve_model(str(tmp_path), None)


def test_hash_model_covers_content_and_nothing_else(word_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(word_model, tmp_path / "elsewhere"))
    assert hash_model(copy) == hash_model(word_model)
    (copy / "README.md").write_text("a card")
    (copy / "lineage.json").write_text("{}")
    assert hash_model(copy) == hash_model(word_model)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert hash_model(copy) != hash_model(word_model)


def test_hash_model_sees_a_file_of_equal_size_written_again(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"a": 1}')
    before = hash_model(tmp_path)
    file.write_text('{"a": 2}')
    os.utime(file, ns=(1, 1))
    assert hash_model(tmp_path) != before


def test_hash_model_of_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model files in"):
        hash_model(tmp_path)


def test_context_is_the_models_positions_or_fewer(word_model: Path, tmp_path: Path) -> None:
    assert context_of(word_model, None) == 96
    assert context_of(word_model, 40) == 40
    with pytest.raises(ConfigError, match="max_model_len is 97.*96 positions"):
        context_of(word_model, 97)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    with pytest.raises(ModelLoadError, match="cannot read config.json"):
        context_of(tmp_path, None)
