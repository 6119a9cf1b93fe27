"""Training rows as the trainer takes them: read, checked, padded. Nothing is tokenized or cut here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError

if TYPE_CHECKING:
    import torch

NO_LOSS = -100


def read_rows(path: Path, max_length: int) -> pa.Table:
    """The columns `input_ids` and `labels` (lists of int64) of a Parquet file, each row checked.

    DataError names the first row (from 0) that is empty, longer than `max_length`, has labels that are not
    its ids, does not train its last token, or trains its last token's id more than once: that is the end
    token, and a model that sees it twice, or never, does not learn where to stop.
    """
    table = pq.read_table(path, columns=["input_ids", "labels"])
    table = table.cast(pa.schema([(name, pa.list_(pa.int64())) for name in table.column_names]))
    if table.num_rows == 0:
        raise DataError(f"{path} has no training rows; expected at least one")
    columns = (table.column("input_ids").to_pylist(), table.column("labels").to_pylist())
    for number, (ids, labels) in enumerate(zip(*columns, strict=True)):
        problem = _problem(ids, labels, max_length)
        if problem:
            raise DataError(f"training row {number} of {path}: {problem}; run the select stage again")
    return table


def _problem(ids: Sequence[int], labels: Sequence[int], max_length: int) -> str | None:
    if not ids or len(ids) != len(labels):
        return f"{len(ids)} ids and {len(labels)} labels, expected equally many and at least one"
    if len(ids) > max_length:
        return f"{len(ids)} tokens, expected at most max_length {max_length}"
    if any(label not in (NO_LOSS, token) for token, label in zip(ids, labels, strict=True)):
        return f"a label that is neither its token's id nor {NO_LOSS}"
    times = sum(label == ids[-1] for label in labels)
    if labels[-1] == NO_LOSS or times != 1:
        return f"its end token (id {ids[-1]}) is trained {times} times, expected once, at the end"
    return None


@dataclass(frozen=True)
class PadRight:
    """Collator: rows of one batch filled up on the right to the longest.

    Padding is decided by position, never by comparing ids with `pad_id`: where padding and end of sequence
    are one token, the end token stays seen and trained.
    """

    pad_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors (rows, longest) of int64: `input_ids`, `labels` and `attention_mask`."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)

        def padded(values: list[Sequence[int]], fill: int) -> torch.Tensor:
            return torch.tensor([[*value, *([fill] * (longest - len(value)))] for value in values])

        ids = [row["input_ids"] for row in rows]
        return {
            "input_ids": padded(ids, self.pad_id),
            "labels": padded([row["labels"] for row in rows], NO_LOSS),
            "attention_mask": padded([[1] * len(value) for value in ids], 0),
        }
