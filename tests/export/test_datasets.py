"""Datasets in the hub's layout: what is in them, what their cards say, and that `datasets` reads them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.errors import ConfigError, NotReadyError
from pipeline.export import export_rationales, export_training
from pipeline.export.cards import public_config
from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import HOSTILE, NAME


@pytest.fixture
def store(selected: Path) -> Store:
    return Store(Home(selected / "home"))


def front_of(folder: Path) -> dict[str, object]:
    text = (folder / "README.md").read_text()
    front: dict[str, object] = yaml.safe_load(text.split("---\n")[1])
    return front


def test_training_rows_exported_are_those_trained_on(store: Store, tmp_path: Path) -> None:
    counts = export_training(store, NAME, 1, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "data" / "train.parquet").to_pylist()
    assert [row["problem_id"] for row in rows] == ["p0", "p1", "p2"]
    assert [row["origin"] for row in rows] == ["generated", "generated", "rationalized"]
    assert rows[1]["prompt"] == "Q: What is 1 + 2?\nA:"
    assert rows[1]["completion"] == " Adding them up gives 3.\n#### 3"
    assert counts.table() == {
        "rows": 3,
        "origin: generated": 2,
        "origin: rationalized": 1,
        "from_round: 1": 3,
    }


def test_exported_folder_is_what_the_datasets_library_reads(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    export_rationales(store, NAME, None, tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 16, "dev": 8, "eval": 8}
    texts = [row["text"] for row in loaded["train"] if row["problem_id"] == "p0"]
    assert any(HOSTILE in text for text in texts)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_rationales_exported_have_verdict_and_fate_in_both_formats(
    store: Store, tmp_path: Path, form: str
) -> None:
    export_rationales(store, NAME, 1, tmp_path / "out", form="jsonl" if form == "jsonl" else "parquet")
    (path,) = (tmp_path / "out" / "data").glob("*")
    assert path.name == f"train.{form}"
    if form == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = pq.read_table(path).to_pylist()
    fates = sorted((row["outcome"], row["fate"]) for row in rows)
    assert fates.count(("correct", "kept")) == 3
    assert fates.count(("correct", "over_problem_cap")) == 1
    assert len(fates) == 16


def test_card_has_counts_provenance_config_and_no_path_of_this_machine(
    store: Store, tmp_path: Path, selected: Path
) -> None:
    export_training(store, NAME, 1, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    recorded = store.rows("experiment", experiment=NAME)[0]
    for wanted in ("| rows | 3 |", recorded["base_hash"], recorded["config_digest"], "answer_line: '####.*'"):
        assert wanted in text
    assert str(selected) not in text and "data_dir" not in text
    assert front_of(tmp_path / "out")["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train.parquet"}]}
    ]


def test_public_config_keeps_the_last_part_of_absolute_paths() -> None:
    given = {"model": {"base": "/home/me/models/qwen"}, "problems": {"data_dir": "/data"}, "stop": ["/x\ny"]}
    assert public_config(given) == {"model": {"base": "qwen"}, "problems": {}, "stop": ["/x\ny"]}


def test_export_never_replaces_a_folder_unless_forced_and_leaves_no_half_of_one(
    store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_training(store, NAME, 1, target)
    assert (target / "mine.txt").read_text() == "mine"
    with pytest.raises(NotReadyError, match="round 7 .* has no training rows"):
        export_training(store, NAME, 7, tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    export_training(store, NAME, 1, target, force=True)
    assert not (target / "mine.txt").exists() and (target / "README.md").is_file()
