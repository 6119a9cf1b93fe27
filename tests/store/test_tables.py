"""Shard files: all or nothing, JSON and times as they went in, errors that name the column."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.store import Store, read_rows, write_rows
from pipeline.store.tables import TABLES, WORK_FILES, sha256_of
from tests.store.known_rows import problem, rationale

CONSTANTS = {"experiment": "sums", "round": 1, "stage": "generate", "shard": 0}
DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp[us]": "TIMESTAMP",
    "list<item: int32>": "INTEGER[]",
    "list<element: int32>": "INTEGER[]",
}


def test_tables_declared_in_python_equal_those_of_the_migrations(store: Store) -> None:
    declared = {
        (table, field.name): (
            "JSON" if (field.metadata or {}).get(b"star") == b"json" else DUCKDB_TYPES[str(field.type)],
            field.nullable,
        )
        for table, schema in TABLES.items()
        for field in schema
    }
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
            "WHERE database_name = 'store' AND table_name IN (SELECT unnest($tables))",
            {"tables": list(TABLES)},
        ).fetchall()
    assert {(table, column): (kind, nullable) for table, column, kind, nullable in rows} == declared


def test_write_rows_json_and_times_come_back_as_they_were(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=2)))
    row = rationale("a", "p", sampling={"stop": ["\n"], "top_p": 0.5}, created_at=moment)
    written = write_rows("rationales", tmp_path / "r.parquet", [row], CONSTANTS)
    (back,) = read_rows(written.path)
    assert back["sampling"] == {"stop": ["\n"], "top_p": 0.5}
    assert back["created_at"] == moment.astimezone(UTC).replace(tzinfo=None)
    assert back["superseded"] is False and back["stage"] == "generate" and back["hint"] is None
    assert written.rows == 1 and written.sha256 == sha256_of(written.path)


def test_write_rows_more_than_one_batch_keeps_order_and_count(tmp_path: Path) -> None:
    rows = (rationale(f"id-{n}", "p") for n in range(5000))
    written = write_rows("rationales", tmp_path / "r.parquet", rows, CONSTANTS)
    assert written.rows == 5000
    assert [row["rationale_id"] for row in read_rows(written.path)] == [f"id-{n}" for n in range(5000)]


def test_write_rows_no_rows_gives_an_empty_file_with_the_columns(tmp_path: Path) -> None:
    written = write_rows("verdicts", tmp_path / "v.parquet", [])
    assert written.rows == 0
    assert list(read_rows(written.path)) == []


@pytest.mark.parametrize("text", ["half a pair \ud83d end", "nul \x00 byte", "ünïcode 数学 \U0001f9ee", ""])
def test_write_rows_any_text_a_model_can_write_is_stored(store: Store, tmp_path: Path, text: str) -> None:
    written = write_rows("prompts", tmp_path / "p.parquet", [{"prompt_hash": "h", "text": text}])
    (row,) = read_rows(written.path)
    assert row["text"] == text.replace("\ud83d", "?")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"colour": "red"}, ["problems", "'colour'", "canonical_prompt_hash"]),
        ({"question": None}, ["problems.question", "must not be null"]),
        ({"added_round": "second"}, ["problems.added_round", "int32"]),
        ({"answer": 7}, ["problems.answer", "string"]),
    ],
)
def test_write_rows_value_that_does_not_fit_is_refused_and_leaves_no_file(
    tmp_path: Path, fields: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(StoreError) as raised:
        write_rows("problems", tmp_path / "out" / "p.parquet", [problem("p1", **fields)], CONSTANTS)
    assert all(word in str(raised.value) for word in words)
    assert list((tmp_path / "out").iterdir()) == []


def test_write_rows_failing_source_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_rows("problems", path, [problem("p1")], CONSTANTS)

    def broken() -> Any:
        yield problem("p2")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_rows("problems", path, broken(), CONSTANTS)
    assert [row["problem_id"] for row in read_rows(path)] == ["p1"]
    assert list(tmp_path.iterdir()) == [path]


def test_write_rows_unknown_table_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'rationels'.*rationales"):
        write_rows("rationels", tmp_path / "x.parquet", [])


def test_work_files_carry_what_their_tables_need() -> None:
    assert {"position", "prompt", "rationale_id", "sampling"} <= set(WORK_FILES["parts"].names)
