"""The same rows by JSON Lines, Parquet, a saved dataset and a local file in place of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError
from pipeline.problems import load_problems

ROWS = [
    {"question": "2 + 2?", "answer": "It is 4.\n#### 4", "level": 1, "topic": {"name": "sums"}},
    {"question": "3 * 5?", "answer": "It is 15.\n#### 15", "level": 2, "topic": {"name": "products"}},
    {
        "question": "1,000 + 80?",
        "answer": "It is 1,080.\n#### 1,080",
        "level": None,
        "topic": {"name": "sums"},
    },
]
FIELDS = {"answer": r"answer ~ ####\s*(.+)$", "solution": "answer", "difficulty": "level"}


def test_sources_of_every_kind_give_the_same_problems(
    make_config: Any, write_rows: Any, tmp_path: Path
) -> None:
    from datasets import Dataset, DatasetDict

    write_rows("rows.jsonl", ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    DatasetDict({"main": Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "saved_dict"))
    kinds = {
        "jsonl": {"kind": "jsonl", "path": "rows.jsonl"},
        "parquet": {"kind": "parquet", "path": "rows.parquet"},
        "saved": {"kind": "datasets", "path": "saved"},
        "saved_dict": {"kind": "datasets", "path": "saved_dict", "part": "main"},
        "local": {"kind": "datasets", "path": "openai/gsm8k", "local_file": "rows.jsonl"},
    }
    read = {
        kind: load_problems(make_config({"train": {**source, "fields": FIELDS}})).problems
        for kind, source in kinds.items()
    }
    first = read["jsonl"]
    assert [problem.answer for problem in first] == ["4", "15", "1,080"]
    assert [problem.difficulty for problem in first] == ["1", "2", None]
    assert first[0].solution == "It is 4.\n#### 4"
    assert first[0].meta == {"topic": {"name": "sums"}}
    assert first[0].source == "train"
    for kind, problems in read.items():
        assert problems == first, kind


def test_sources_limit_takes_the_first_rows(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", ROWS)
    source = {"kind": "jsonl", "path": "rows.jsonl", "limit": 2, "fields": {"answer": "topic.name"}}
    loaded = load_problems(make_config({"train": source}))
    assert [problem.answer for problem in loaded.problems] == ["sums", "products"]
    assert loaded.notes[0].startswith("2 rows read")


def test_sources_local_fields_map_another_layout(make_config: Any, write_rows: Any) -> None:
    write_rows(
        "local.jsonl",
        [
            {
                "q": {"stem": "Why?"},
                "key": "B",
                "q2": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}],
            }
        ],
    )
    source = {
        "kind": "datasets",
        "path": "tau/commonsense_qa",
        "local_file": "local.jsonl",
        "fields": {"question": "question", "choices": "choices", "answer": "answerKey"},
        "local_fields": {"question": "q.stem", "choices": "q2", "answer": "key"},
    }
    problem = load_problems(make_config({"train": source})).problems[0]
    assert (problem.question, problem.answer, problem.choices) == ("Why?", "b", {"a": "x", "b": "y"})


def test_sources_solution_strip_removes_calculator_marks(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", [{"question": "Half of 48?", "answer": "48/2 = <<48/2=24>>24.\n#### 24"}])
    fields = {"answer": "answer ~ #### (.+)", "solution": "answer", "solution_strip": "<<[^<>]*>>"}
    problem = load_problems(
        make_config({"t": {"kind": "jsonl", "path": "rows.jsonl", "fields": fields}})
    ).problems[0]
    assert problem.solution == "48/2 = 24.\n#### 24"


def test_sources_missing_file_names_path_and_remedy(make_config: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"sources\.train\.path: no file {tmp_path}/none\.jsonl.+data_dir=FOLDER"
    ):
        load_problems(make_config({"train": {"kind": "jsonl", "path": "none.jsonl"}}))


def test_sources_file_that_is_no_parquet_is_a_data_error(make_config: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read as Parquet"):
        load_problems(make_config({"train": {"kind": "parquet", "path": "rows.parquet"}}))


def test_sources_dataset_part_that_is_absent_names_those_there(make_config: Any, tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"main": Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"part is 'train'.+expected one of main"):
        load_problems(make_config({"train": {"kind": "datasets", "path": "saved"}}))


def test_sources_hub_out_of_reach_names_id_and_local_remedy(
    make_config: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    source = {
        "kind": "datasets",
        "path": "star-pipeline/absent",
        "revision": "abc",
        "local_file": "train.jsonl",
    }
    with pytest.raises(
        DataError, match=rf"'star-pipeline/absent'.+nor is there a file {tmp_path}/train\.jsonl"
    ):
        load_problems(make_config({"train": source}))


def test_problem_ids_without_a_field_depend_on_content_only(make_config: Any, write_rows: Any) -> None:
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": FIELDS}
    write_rows("rows.jsonl", ROWS)
    ids = {one.question: one.problem_id for one in load_problems(make_config({"train": source})).problems}
    write_rows("rows.jsonl", [*ROWS[::-1], {"question": "One more?", "answer": "#### 1"}])
    again = {one.question: one.problem_id for one in load_problems(make_config({"other": source})).problems}
    assert {question: again[question] for question in ids} == ids
    assert len(set(again.values())) == 4
