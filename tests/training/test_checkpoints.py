"""Checkpoint folders: whole or absent, valid by content, removed only when nothing needs them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from pipeline.engines.weights import hash_model
from pipeline.errors import NotReadyError, StarError
from pipeline.training import CheckpointRole, prune, require_checkpoint
from pipeline.training.checkpoints import check_free_disk, publish, read_lineage, weight_bytes, work_folder


@pytest.fixture
def five(tmp_path: Path) -> list[CheckpointRole]:
    """Rounds 1 to 5: 2 is the best, 5 the newest."""
    roles = []
    for round_ in range(1, 6):
        path = tmp_path / f"round-{round_}"
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"weights")
        roles.append(CheckpointRole(round_, path, best=round_ == 2, newest=round_ == 5))
    return roles


@pytest.mark.parametrize(("keep", "stays"), [("best", ["round-2", "round-5"]), ("last", ["round-5"])])
def test_prune_last_keeps_the_newest_and_best_the_best_too(
    five: list[CheckpointRole], keep: Literal["best", "last"], stays: list[str]
):
    removed = prune(five, keep)
    assert sorted(item.name for item in five[0].path.parent.iterdir()) == stays
    assert sorted([*stays, *(path.name for path in removed)]) == [f"round-{n}" for n in range(1, 6)]


def test_prune_all_removes_nothing(five: list[CheckpointRole]):
    assert prune(five, "all") == []
    assert all(role.path.exists() for role in five)


def test_prune_again_finds_nothing_to_remove(five: list[CheckpointRole]):
    prune(five, "best")
    assert prune(five, "best") == []


def test_require_checkpoint_names_the_folder_and_what_is_missing(base: Path, tmp_path: Path):
    assert require_checkpoint(base) == base
    broken = shutil.copytree(base, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    with pytest.raises(
        NotReadyError, match=r"broken cannot be loaded: model\.safetensors missing.*star stage train"
    ):
        require_checkpoint(broken)
    with pytest.raises(NotReadyError, match="no such folder"):
        require_checkpoint(tmp_path / "absent")


def test_require_checkpoint_sharded_weights_need_every_shard_of_the_index(base: Path, tmp_path: Path):
    sharded = shutil.copytree(base, tmp_path / "sharded")
    (sharded / "model.safetensors").rename(sharded / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(NotReadyError, match=r"model-00002-of-00002\.safetensors missing"):
        require_checkpoint(sharded)


def test_check_free_disk_too_little_says_needed_free_and_remedy(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    check_free_disk(base, tmp_path / "not" / "yet" / "there")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5 << 20))
    with pytest.raises(StarError, match=r"32 MiB needed, 5 MiB free on .*STAR_HOME.*train\.keep"):
        check_free_disk(base, tmp_path / "not" / "yet" / "there")
    assert weight_bytes(base) > (base / "model.safetensors").stat().st_size


def test_publish_replaces_an_older_folder_and_leaves_no_other(base: Path, tmp_path: Path):
    output = tmp_path / "checkpoints" / "main"
    output.mkdir(parents=True)
    (output / "old").write_text("old")
    folder = shutil.copytree(base, work_folder(output) / "checkpoint")
    publish(folder, output, {"content_hash": hash_model(folder), "round": 3})
    assert not (output / "old").exists()
    assert hash_model(output) == hash_model(base)
    assert read_lineage(output) == {"content_hash": hash_model(base), "round": 3}
    assert [item.name for item in work_folder(output).parent.iterdir() if not item.name.startswith(".")] == [
        "main"
    ]


def test_read_lineage_changed_weights_are_not_believed(base: Path, tmp_path: Path):
    output = shutil.copytree(base, tmp_path / "copy")
    publish(output, tmp_path / "main", {"content_hash": hash_model(base)})
    weights = bytearray((tmp_path / "main" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "main" / "model.safetensors").write_bytes(weights)
    assert read_lineage(tmp_path / "main") is None
    assert read_lineage(tmp_path / "absent") is None


def test_work_folder_removes_what_a_killed_training_left(tmp_path: Path):
    output = tmp_path / "checkpoints" / "main"
    for name in (".main.work1", ".main.removed2", ".other.work3"):
        (output.parent / name).mkdir(parents=True)
        (output.parent / name / "model.safetensors").write_bytes(b"part")
    folder = work_folder(output)
    assert sorted(item.name for item in output.parent.iterdir()) == sorted([".other.work3", folder.name])
    assert list(folder.iterdir()) == []
