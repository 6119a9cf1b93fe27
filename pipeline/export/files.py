"""Rows to Parquet or JSON Lines, in memory that does not grow with their number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Format = Literal["parquet", "jsonl"]
Row = Mapping[str, Any]
_BATCH = 2048


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Row], form: Format) -> int:
    """Write the schema's columns of the rows; returns their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write_jsonl(path, schema, rows) if form == "jsonl" else _write_parquet(path, schema, rows)


def _write_jsonl(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(json.dumps({name: row[name] for name in schema.names}, ensure_ascii=False) + "\n")
            written += 1
    return written


def _write_parquet(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> int:
    written = 0
    batch: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows:
            batch.append({name: row[name] for name in schema.names})
            written += 1
            if len(batch) == _BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch.clear()
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
    return written
