"""The tables that stages commit, as Arrow schemas, and the Parquet shard files that carry their rows.

A stage writes one file per table and shard; the commit loads it (see commits.py). The same columns are
declared in sql/migrations/: a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.identity import canonical_json

_JSON = {"star": "json"}
_TYPES = {
    "text": pa.string(),
    "json": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us"),
    "ints": pa.list_(pa.int32()),
}
# What a row that does not name the column gets, where that is not null.
_DEFAULTS: Mapping[str, Any] = {"superseded": False, "exemplar": False, "decides": True}
# A row may name whose it is even where its table is shared and leaves that out (prompts).
_OWNER = frozenset({"experiment", "round", "stage", "shard", "superseded"})
_BATCH = 2048


def _schema(*columns: str) -> pa.Schema:
    """Columns as `name type`; a `?` after the type allows null."""
    fields = []
    for column in columns:
        name, kind = column.split()
        nullable = kind.endswith("?")
        kind = kind.rstrip("?")
        fields.append(pa.field(name, _TYPES[kind], nullable, _JSON if kind == "json" else None))
    return pa.schema(fields)


_STAGE = ("stage text", "shard int", "superseded bool")

# fmt: off
TABLES: Mapping[str, pa.Schema] = {
    "problems": _schema(
        "experiment text", "problem_id text", "split text", "question text", "answer text",
        "choices json?", "difficulty text?", "source text?", "solution text?", "meta json?",
        "exemplar bool", "added_round int", "canonical_prompt_hash text?", "round int", *_STAGE,
    ),
    "bad_problems": _schema(
        "experiment text", "source text", "line int?", "reason text", "detail text?",
        "round int", *_STAGE,
    ),
    "prompts": _schema("prompt_hash text", "text text"),
    "rationales": _schema(
        "rationale_id text", "experiment text", "round int", "origin text", "purpose text", "problem_id text",
        "split text", "difficulty text?", "sample int", "text text", "answer text?", "hint text?",
        "finish_reason text", "prompt_tokens int", "completion_tokens int", "text_chars int",
        "norm_hash text", "mean_logprob float?", "sampling json?", "seed long", "model_hash text",
        "prompt_hash text", "prompt_style text", "engine text?", "seconds float?",
        "created_at time", *_STAGE,
    ),
    "verdicts": _schema(
        "rationale_id text", "experiment text", "round int", "grader text", "grader_digest text",
        "outcome text", "score float?", "reason text?", "answer text?", "subscores json?",
        "elapsed_ms float?", "decides bool", *_STAGE,
    ),
    "training_rows": _schema(
        "experiment text", "round int", "from_round int", "rationale_id text", "problem_id text",
        "origin text", "grader_digest text?", "prompt text", "prompt_hash text?", "completion text",
        "tokens int", "norm_hash text", "sample int", "input_ids ints", "labels ints",
        "training_set_digest text?", *_STAGE,
    ),
    "rejections": _schema(
        "experiment text", "round int", "rationale_id text?", "problem_id text", "reason text",
        "detail text?", *_STAGE,
    ),
    "sampling_stops": _schema(
        "experiment text", "round int", "problem_id text", "difficulty text?", "samples int", "correct int",
        "tokens long", "pass_rate float", "reason text", *_STAGE,
    ),
    "checkpoints": _schema(
        "experiment text", "round int", "variant text", "path text", "content_hash text",
        "parent_hash text", "base_hash text", "training_set_digest text", "rows long", "steps long",
        "epochs float?", "tokens long?", "loss float?", "seconds float?", *_STAGE,
    ),
    "evaluations": _schema(
        "experiment text", "round int", "split text", "metric text", "difficulty text?",
        "grader_digest text?", "prompt_style text", "problems int", "samples int?", "k int?",
        "correct int?", "value float?", "low float?", "high float?", *_STAGE,
    ),
}

# fmt: on

# Files that stages write for themselves: flushed completions, verdicts that a later stage will want, and the
# token ids a training process reads.
WORK_FILES: Mapping[str, pa.Schema] = {
    "parts": pa.schema(
        [
            pa.field("position", pa.int64(), False),
            pa.field("prompt", pa.string(), False),
            *(field for field in TABLES["rationales"] if field.name not in ("stage", "shard", "superseded")),
        ]
    ),
    "graded": _schema(
        "item_key text",
        "grader_digest text",
        "outcome text",
        "score float",
        "reason text",
        "answer text?",
        "subscores json?",
        "elapsed_ms float",
    ),
    "training_inputs": _schema("input_ids ints", "labels ints"),
}

# Tables whose rows belong to a stage: all but the prompts, which experiments share.
STAGE_TABLES = tuple(name for name in TABLES if name != "prompts")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished shard file: its path, the SHA-256 of its bytes, its rows."""

    path: Path
    sha256: str
    rows: int


def utc_now() -> datetime:
    """The time as the store keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read in 1 MiB steps."""
    running = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            running.update(chunk)
    return running.hexdigest()


def write_rows(
    table: str, path: Path, rows: Iterable[Mapping[str, Any]], constants: Mapping[str, Any] | None = None
) -> WrittenFile:
    """Write the rows of one table to a Parquet file, all or nothing (temporary file, fsync, rename).

    `constants` are columns equal in every row (experiment, round, stage, shard). JSON columns take Python
    values; times with a zone are turned to UTC; columns that are not named are null or their default
    (`created_at`: now). Raises StoreError for a column the table does not have or a value that does not fit.
    """
    schema = schema_of(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    written = 0
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for batch in _batches(rows, _BATCH):
                writer.write_batch(_to_batch(table, schema, batch, constants or {}))
                written += len(batch)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        sha256 = sha256_of(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return WrittenFile(path, sha256, written)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard file, one at a time, JSON columns as Python values."""
    with pq.ParquetFile(path) as file:
        json_columns = {
            field.name for field in file.schema_arrow if (field.metadata or {}).get(b"star") == b"json"
        }
        yield from _rows_of(file, json_columns)


def schema_of(table: str) -> pa.Schema:
    """The schema of a table that stages commit or of a work file; StoreError for any other name."""
    schema = TABLES.get(table) or WORK_FILES.get(table)
    if schema is None:
        known = ", ".join([*TABLES, *WORK_FILES])
        raise StoreError(f"table {table!r} is not one that stages write; expected one of {known}")
    return schema


def read_parquet_result(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file that DuckDB wrote; its name is removed at once, a kill leaves nothing."""
    with path.open("rb") as handle:
        path.unlink()
        file = pq.ParquetFile(handle)
        columns = (file.schema.column(index) for index in range(len(file.schema)))
        yield from _rows_of(file, {column.path for column in columns if column.logical_type.type == "JSON"})


def _rows_of(file: pq.ParquetFile, json_columns: set[str]) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=_BATCH):
        for row in batch.to_pylist():
            for name in json_columns:
                if row[name] is not None:
                    row[name] = json.loads(row[name])
            yield row


def _batches(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _to_batch(
    table: str, schema: pa.Schema, rows: list[Mapping[str, Any]], constants: Mapping[str, Any]
) -> pa.RecordBatch:
    known = _OWNER.union(schema.names)
    for row in (constants, *rows):
        if not known.issuperset(row):
            raise StoreError(
                f"{table} has no column {min(set(row) - known)!r}; its columns: {', '.join(schema.names)}"
            )
    return pa.RecordBatch.from_arrays(
        [_column(table, field, rows, constants) for field in schema], schema=schema
    )


def _column(
    table: str, field: pa.Field, rows: list[Mapping[str, Any]], constants: Mapping[str, Any]
) -> pa.Array:
    default = constants.get(field.name, _DEFAULTS.get(field.name))
    if field.name == "created_at" and default is None:
        default = utc_now()
    values = [row.get(field.name, default) for row in rows]
    if (field.metadata or {}).get(b"star") == b"json":
        values = [None if value is None else storable(canonical_json(value)) for value in values]
    elif pa.types.is_timestamp(field.type):
        values = [_plain_utc(value) for value in values]
    elif pa.types.is_string(field.type):
        values = [None if value is None else storable(value) for value in values]
    if not field.nullable and any(value is None for value in values):
        raise StoreError(
            f"{table}.{field.name} must not be null; row {values.index(None) + 1} of the batch has no value"
        )
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise StoreError(f"{table}.{field.name} takes {field.type}: {error}") from None


def storable(value: Any) -> Any:
    """A text that UTF-8 can hold: a lone surrogate, half of a character that a model cut, becomes `?`."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("utf-8")
    except AttributeError:
        return value  # not a text: the conversion to Arrow says so, with the column's name
    return value


def _plain_utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)
