"""Training rows and rationales as datasets: `data/*.parquet` (or JSON Lines) and a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import ExperimentConfig
from pipeline.errors import NotReadyError
from pipeline.export.cards import card
from pipeline.export.folder import new_folder
from pipeline.store import Store

Format = Literal["parquet", "jsonl"]
_BATCH = 2048

TRAINING = pa.schema(
    [
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("problem_id", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("difficulty", pa.string()),
        ("origin", pa.string()),
        ("round", pa.int32()),
        ("from_round", pa.int32()),
        ("rationale_id", pa.string()),
        ("tokens", pa.int32()),
    ]
)
"""Prompt and completion in the layout that TRL's SFTTrainer reads; the completion has no end token."""

RATIONALES = pa.schema(
    [
        ("problem_id", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        ("text", pa.string()),
        ("answer", pa.string()),
        ("outcome", pa.string()),
        ("score", pa.float64()),
        ("verdict_reason", pa.string()),
        ("fate", pa.string()),
        ("flagged", pa.string()),
        ("origin", pa.string()),
        ("purpose", pa.string()),
        ("round", pa.int32()),
        ("sample", pa.int32()),
        ("prompt_style", pa.string()),
        ("hint", pa.string()),
        ("finish_reason", pa.string()),
        ("completion_tokens", pa.int32()),
        ("mean_logprob", pa.float64()),
        ("difficulty", pa.string()),
        ("model_hash", pa.string()),
        ("engine", pa.string()),
        ("rationale_id", pa.string()),
    ]
)
"""One row per attempt; `fate`: kept in its round, or the reason why not; `flagged`: what people said."""


@dataclass(slots=True)
class Counts:
    """What was written, to be said in the card and on the terminal."""

    rows: int = 0
    by: dict[str, Counter[str]] = field(default_factory=dict)

    def see(self, row: Mapping[str, Any], *columns: str) -> None:
        self.rows += 1
        for column in columns:
            if row[column] is not None:
                self.by.setdefault(column, Counter())[str(row[column])] += 1

    def table(self) -> dict[str, int]:
        """`rows` and `column: value` -> count."""
        found = {"rows": self.rows}
        for column, counter in self.by.items():
            found |= {f"{column}: {value}": number for value, number in counter.most_common()}
        return found


def export_training(
    store: Store, experiment: str, round_: int, to: Path, *, form: Format = "parquet", force: bool = False
) -> Counts:
    """Write the rows that the model of a round was trained on.

    NotReadyError where the round has none.
    """
    counts = Counts()
    rows = store.stream("export_training", experiment=experiment, round=round_)
    with new_folder(to, force) as folder:
        _write(folder / "data" / f"train.{form}", TRAINING, _seen(rows, counts, "origin", "from_round"), form)
        if not counts.rows:
            raise NotReadyError(
                f"round {round_} of experiment {experiment} has no training rows; see what it kept: "
                f"star show {experiment} --round {round_}"
            )
        recorded = store.rows("experiment", experiment=experiment)[0]
        digests = store.rows("training_set", experiment=experiment, round=round_)
        text = card(
            _front({"train": f"data/train.{form}"}, "training-rows"),
            f"Training rows of {experiment}, round {round_}",
            [
                "Rationales that a language model wrote itself and whose final answer was verified, as it "
                "was fine-tuned on them: the canonical prompt (no exemplars, no hint) and the completion.",
            ],
            counts.table(),
            {
                **_provenance(recorded, experiment, round_),
                "training set digest": ", ".join(row["training_set_digest"] for row in digests),
            },
            ExperimentConfig.model_validate(recorded["config"]),
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
    return counts


def export_rationales(
    store: Store,
    experiment: str,
    round_: int | None,
    to: Path,
    *,
    form: Format = "parquet",
    force: bool = False,
) -> Counts:
    """Write every attempt of a round (None: of all rounds) with its verdict, one file per split."""
    counts = Counts()
    with new_folder(to, force) as folder:
        files: dict[str, str] = {}
        for split in ("train", "dev", "eval"):
            rows = store.stream("export_rationales", experiment=experiment, round=round_, split=split)
            path = folder / "data" / f"{split}.{form}"
            if _write(path, RATIONALES, _seen(rows, counts, "origin", "outcome", "fate"), form):
                files[split] = f"data/{split}.{form}"
            else:
                path.unlink()
        if not counts.rows:
            where = "no round" if round_ is None else f"round {round_}"
            raise NotReadyError(
                f"experiment {experiment} has no attempts in {where}; see: star status {experiment}"
            )
        recorded = store.rows("experiment", experiment=experiment)[0]
        rounds = "all rounds" if round_ is None else f"round {round_}"
        text = card(
            _front(files, "rationales"),
            f"Rationales of {experiment}, {rounds}",
            [
                "Every attempt of a language model at its problems, right and wrong, with the verdict of the "
                "grader and what became of it. `rationalized` attempts were shown the gold answer as a hint.",
            ],
            counts.table(),
            _provenance(recorded, experiment, round_),
            ExperimentConfig.model_validate(recorded["config"]),
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
    return counts


def _front(files: Mapping[str, str], kind: str) -> dict[str, Any]:
    data_files = [{"split": split, "path": path} for split, path in files.items()]
    return {"configs": [{"config_name": "default", "data_files": data_files}], "tags": ["star", kind]}


def _provenance(recorded: Mapping[str, Any], experiment: str, round_: int | None) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "round": "all" if round_ is None else str(round_),
        "base model": recorded["base_model"],
        "base hash": recorded["base_hash"],
        "config digest": recorded["config_digest"],
        "started": f"{recorded['created_at']:%Y-%m-%d %H:%M} UTC",
    }


def _seen(rows: Iterable[Mapping[str, Any]], counts: Counts, *columns: str) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        counts.see(row, *columns)
        yield row


def _write(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]], form: Format) -> int:
    """Write the schema's columns of the rows in bounded memory; returns their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write_jsonl(path, schema, rows) if form == "jsonl" else _write_parquet(path, schema, rows)


def _write_jsonl(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(json.dumps({name: row[name] for name in schema.names}, ensure_ascii=False) + "\n")
            written += 1
    return written


def _write_parquet(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
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
