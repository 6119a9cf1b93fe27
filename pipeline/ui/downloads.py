"""The attempts of a filter as CSV or Parquet, sent while they are read, in bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import SnapshotReader, Store
from pipeline.ui.filters import Filter

_BATCH = 4096
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Opened = Callable[[SnapshotReader], None]
"""Told the reader once it is open, so that it can be stopped when nobody listens any more."""


def csv_rows(store: Store, experiment: str, wanted: Filter, opened: Opened) -> Iterator[bytes]:
    """CSV with a header. What a spreadsheet would run as a formula gets an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    header = True
    for batch in _batches(store, experiment, wanted, opened):
        if header:
            writer.writerow(batch.schema.names)
            header = False
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([harmless(value) for value in row])
        yield buffer.getvalue().encode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()


def harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula; other values as they are."""
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def parquet(store: Store, experiment: str, wanted: Filter, opened: Opened) -> Iterator[bytes]:
    """One Parquet file, a row group per batch; nothing is neutralised, since no program runs it."""
    sink = _Sink()
    writer: pq.ParquetWriter | None = None
    for batch in _batches(store, experiment, wanted, opened):
        writer = writer or pq.ParquetWriter(sink, batch.schema, compression="zstd")
        writer.write_batch(batch)
        yield sink.take()
    if writer is not None:
        writer.close()
    yield sink.take()


def _batches(store: Store, experiment: str, wanted: Filter, opened: Opened) -> Iterator[pa.RecordBatch]:
    with store.reader() as reader:
        opened(reader)
        arguments = {"experiment": experiment, **wanted.parameters()}
        yield from reader.batches("ui_attempts", _BATCH, **arguments)


class _Sink(io.RawIOBase):
    """Collects what is written, to be taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
