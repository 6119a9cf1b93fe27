"""Rows are checked, never changed; the end token stays in the loss where it is also the padding."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError
from pipeline.training.rows import PadRight, read_rows


def written(path: Path, *rows: tuple[list[int], list[int]]) -> Path:
    pq.write_table(
        pa.table(
            {"input_ids": [ids for ids, _ in rows], "labels": [labels for _, labels in rows]},
            schema=pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]),
        ),
        path,
    )
    return path


def test_pad_right_pad_equal_to_end_keeps_the_one_end_token_in_the_loss():
    end = 1
    batch = PadRight(pad_id=end)(
        [
            {"input_ids": [7, 8, 9, 9, end], "labels": [-100, -100, 9, 9, end]},
            {"input_ids": [7, 9, end], "labels": [-100, 9, end]},
        ]
    )
    assert batch["input_ids"].tolist() == [[7, 8, 9, 9, end], [7, 9, end, end, end]]
    assert batch["labels"].tolist() == [[-100, -100, 9, 9, end], [-100, 9, end, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert [(row == end).sum() for row in batch["labels"]] == [1, 1]


def test_read_rows_good_rows_come_back_as_they_are(tmp_path: Path):
    path = written(tmp_path / "rows.parquet", ([5, 6, 1], [-100, 6, 1]), ([5, 1], [-100, 1]))
    table = read_rows(path, max_length=3)
    assert table.to_pydict() == {
        "input_ids": [[5, 6, 1], [5, 1]],
        "labels": [[-100, 6, 1], [-100, 1]],
    }


@pytest.mark.parametrize(
    ("ids", "labels", "expected"),
    [
        ([5, 6, 1], [-100, 6], "3 ids and 2 labels"),
        ([], [], "at least one"),
        ([5, 6, 7, 8, 1], [-100, 6, 7, 8, 1], "5 tokens, expected at most max_length 4"),
        ([5, 6, 1], [-100, 7, 1], "neither its token's id nor -100"),
        ([5, 6, 1], [-100, 6, -100], r"end token \(id 1\) is trained 0 times"),
        ([5, 1, 1], [-100, 1, 1], r"end token \(id 1\) is trained 2 times"),
    ],
)
def test_read_rows_bad_row_is_named(tmp_path: Path, ids: list[int], labels: list[int], expected: str):
    path = written(tmp_path / "rows.parquet", ([5, 1], [-100, 1]), (ids, labels))
    with pytest.raises(DataError, match=f"training row 1 of .*{expected}"):
        read_rows(path, max_length=4)


def test_read_rows_end_id_in_the_prompt_is_allowed(tmp_path: Path):
    # A chat prompt ends each turn with the token that also ends the completion.
    path = written(tmp_path / "rows.parquet", ([5, 1, 6, 1], [-100, -100, 6, 1]))
    assert read_rows(path, max_length=4).num_rows == 1


def test_read_rows_no_rows_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no training rows"):
        read_rows(written(tmp_path / "rows.parquet"), max_length=4)
