"""Rows from JSON Lines, Parquet and Hugging Face datasets, each with its line, read as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.config.problems import DatasetsSource, FieldMap, JsonlSource, ParquetSource
from pipeline.errors import DataError
from pipeline.problems.bad_rows import BadRowError, shorten


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a source: its line (from 1; the row's number where there are no lines), and what it holds.

    `content` is a BadRowError where the line could not be read as a row.
    """

    line: int
    content: Mapping[str, Any] | BadRowError


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source ready to be read: what it is called in messages, how its rows are laid out, the rows."""

    label: str
    fields: FieldMap
    rows: Iterator[SourceRow]


def open_source(
    source: JsonlSource | ParquetSource | DatasetsSource, name: str, data_dir: Path
) -> OpenedSource:
    """Open the source called `name`; paths are relative to `data_dir`. DataError where it cannot be read."""
    if isinstance(source, JsonlSource):
        opened = OpenedSource(
            source.path,
            source.fields,
            read_jsonl(existing_file(source.path, f"problems.sources.{name}", data_dir)),
        )
    elif isinstance(source, ParquetSource):
        file = existing_file(source.path, f"problems.sources.{name}", data_dir)
        opened = OpenedSource(source.path, source.fields, _read_parquet(file))
    else:
        opened = _open_datasets(source, name, data_dir)
    rows = islice(opened.rows, source.limit) if source.limit is not None else opened.rows
    return OpenedSource(opened.label, opened.fields, rows)


def read_jsonl(file: Path) -> Iterator[SourceRow]:
    """The lines of a JSON Lines file (UTF-8, a byte order mark is skipped); empty lines are no rows."""
    with file.open("rb") as handle:
        for line, raw in enumerate(handle, start=1):
            data = raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
            if data.strip():
                yield SourceRow(line, _parse_line(data))


def _parse_line(data: bytes) -> Mapping[str, Any] | BadRowError:
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRowError("not_unicode", f"not UTF-8: {error}; expected JSON Lines in UTF-8")
    except (ValueError, RecursionError) as error:
        shown = shorten(data.decode("utf-8").strip(), 60)
        return BadRowError("broken_json", f"not valid JSON ({error}): {shown}; expected one object a line")
    if not isinstance(value, dict):
        return BadRowError("wrong_type", f"holds {shorten(value)}; expected a JSON object with named fields")
    return value


def _read_parquet(file: Path) -> Iterator[SourceRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            line = 0
            for batch in parquet.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    line += 1
                    yield SourceRow(line, row)
    except pa.ArrowException as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}; expected a Parquet file") from None


def _open_datasets(source: DatasetsSource, name: str, data_dir: Path) -> OpenedSource:
    if source.local_file is not None and (data_dir / source.local_file).is_file():
        fields = source.local_fields or source.fields
        return OpenedSource(source.local_file, fields, read_jsonl(data_dir / source.local_file))
    folder = data_dir / source.path
    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return OpenedSource(
            f"{source.path} ({source.part})", source.fields, _read_saved(folder, source, name)
        )
    label = f"{source.path} ({source.part})"
    return OpenedSource(label, source.fields, _read_hub(source, name, data_dir))


def _read_saved(folder: Path, source: DatasetsSource, name: str) -> Iterator[SourceRow]:
    from datasets import DatasetDict, load_from_disk

    saved = load_from_disk(str(folder))
    if isinstance(saved, DatasetDict):
        if source.part not in saved:
            raise DataError(
                f"problems.sources.{name}.part is {source.part!r}, which {folder} has not; "
                f"expected one of {', '.join(sorted(saved))}"
            )
        saved = saved[source.part]
    return _numbered(saved)


def _read_hub(source: DatasetsSource, name: str, data_dir: Path) -> Iterator[SourceRow]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        dataset = load_dataset(source.path, source.name, split=source.part, revision=source.revision)
    except (OSError, ValueError, DatasetsError, HfHubHTTPError) as error:
        tried = f"; nor is there a file {data_dir / source.local_file}" if source.local_file else ""
        raise DataError(
            f"problems.sources.{name}: dataset {source.path!r} (name {source.name!r}, part {source.part!r}, "
            f"revision {source.revision!r}) cannot be loaded: {error}{tried}; check id and network, or "
            "have the rows locally: kind jsonl, or local_file with --set problems.data_dir=FOLDER"
        ) from error
    return _numbered(dataset)


def _numbered(rows: Any) -> Iterator[SourceRow]:
    return (SourceRow(line, row) for line, row in enumerate(rows, start=1))


def existing_file(path: str, key: str, data_dir: Path) -> Path:
    """The file of the section `key`; DataError naming the section where there is none."""
    file = data_dir / path
    if not file.is_file():
        raise DataError(
            f"{key}.path: no file {file}; expected one relative to problems.data_dir "
            f"({data_dir}); correct the path, or give the folder with --set problems.data_dir=FOLDER"
        )
    return file
