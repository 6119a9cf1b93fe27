"""Datasets in the hub's layout: what is in them, what their cards say, and that `datasets` reads them."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.errors import ConfigError, NotReadyError
from pipeline.export import Layout, export_problems, export_rationales, export_training
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
        "rows considered": 16,
        "rows": 3,
        "left out: wrong": 9,
        "left out: cut_off": 3,
        "left out: over_problem_cap": 1,
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
    export_rationales(
        store, NAME, 1, tmp_path / "out", Layout(form="jsonl" if form == "jsonl" else "parquet")
    )
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


def test_chat_messages_are_the_question_as_laid_out_and_the_rationale(store: Store, tmp_path: Path) -> None:
    export_training(store, NAME, 1, tmp_path / "plain")
    export_training(store, NAME, 1, tmp_path / "chat", Layout(chat=True))
    plain = pq.read_table(tmp_path / "plain" / "data" / "train.parquet").to_pylist()
    chat = pq.read_table(tmp_path / "chat" / "data" / "train.parquet").to_pylist()
    assert [row["rationale_id"] for row in chat] == [row["rationale_id"] for row in plain]
    for row, same in zip(chat, plain, strict=True):
        assert row["messages"] == [
            {"role": "user", "content": same["prompt"]},
            {"role": "assistant", "content": same["completion"].removeprefix(" ")},
        ]


def test_problems_are_every_train_problem_once_with_prompt_and_answer(store: Store, tmp_path: Path) -> None:
    counts = export_problems(store, NAME, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "data" / "train.parquet").to_pylist()
    wanted = store.rows("problems_of_split", experiment=NAME, split="train")
    assert [(row["problem_id"], row["answer"]) for row in rows] == [
        (row["problem_id"], row["answer"]) for row in wanted
    ]
    assert rows[0]["prompt"] == "Q: What is 0 + 1?\nA:"
    assert counts.table() == {
        "rows considered": 6,
        "rows": 6,
        "difficulty: hard": 4,
        "difficulty: easy": 2,
    }
    export_problems(store, NAME, tmp_path / "chat", Layout(chat=True))
    (first, *_) = pq.read_table(tmp_path / "chat" / "data" / "train.parquet").to_pylist()
    assert first["prompt"] == [{"role": "user", "content": rows[0]["prompt"]}]


def test_what_people_said_goes_with_training_rows_and_rationales(selected: Path, tmp_path: Path) -> None:
    shutil.copytree(selected / "home", tmp_path / "home")
    store = Store(Home(tmp_path / "home"))
    (first, *_) = store.stream("export_training", experiment=NAME, round=1)
    store.flag(NAME, first["rationale_id"], kind="exclude", author="ann", note="says nothing")
    trained = export_training(store, NAME, 1, tmp_path / "training")
    every = export_rationales(store, NAME, 1, tmp_path / "rationales")
    for folder in ("training", "rationales"):
        rows = pq.read_table(tmp_path / folder / "data" / "train.parquet").to_pylist()
        said = {row["rationale_id"]: row["flagged"] for row in rows if row["flagged"] is not None}
        assert said == {first["rationale_id"]: "excluded by ann: says nothing"}
    assert trained.table()["flagged by people"] == every.table()["flagged by people"] == 1


def test_licence_stands_in_the_card_where_the_hub_reads_it(store: Store, tmp_path: Path) -> None:
    export_training(store, NAME, 1, tmp_path / "with", Layout(licence="apache-2.0"))
    export_training(store, NAME, 1, tmp_path / "without")
    assert front_of(tmp_path / "with")["license"] == "apache-2.0"
    assert "license" not in front_of(tmp_path / "without")
    with pytest.raises(ConfigError, match="licence 'Apache 2': expected an identifier of the hub"):
        Layout(licence="Apache 2")


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
    export_training(store, NAME, 1, target, Layout(force=True))
    assert not (target / "mine.txt").exists() and (target / "README.md").is_file()
