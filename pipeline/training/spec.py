"""What one training is asked to do, as it crosses into the child process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.config.load import deciding_content
from pipeline.engines.weights import hash_model
from pipeline.identity import digest, file_hash
from pipeline.training.tracking import Tracking

_SPEC_VERSION = 1
"""Raised when the same spec comes to train to something else: old checkpoints are not taken for new ones."""


@dataclass(frozen=True)
class TrainSpec:
    """One training: from which model, on which rows, with which settings, into which folder.

    `rows_path` is Parquet with the list columns `input_ids` and `labels` (-100 where there is no loss).
    `pad_id` fills up batches and may be the end token's id. `lineage` is JSON that goes into `lineage.json`;
    `tracking` decides nothing of the result.
    """

    start_path: Path
    rows_path: Path
    output: Path
    config: TrainConfig
    round: int
    seed: int
    pad_id: int
    lineage: dict[str, Any] = field(default_factory=dict)
    tracking: Tracking | None = None

    def digest(self) -> str:
        """64 hex characters over all that decides the result: content of start and rows, settings, seed."""
        return digest(
            {
                "version": _SPEC_VERSION,
                "start": hash_model(self.start_path),
                "rows": file_hash(self.rows_path),
                "config": deciding_content(self.config),
                "round": self.round,
                "seed": self.seed,
                "pad_id": self.pad_id,
            }
        )

    def to_json(self) -> str:
        """The spec as the child reads it."""
        return json.dumps(
            {
                "start_path": str(self.start_path.resolve()),
                "rows_path": str(self.rows_path.resolve()),
                "output": str(self.output.resolve()),
                "config": self.config.model_dump(mode="json"),
                "round": self.round,
                "seed": self.seed,
                "pad_id": self.pad_id,
                "lineage": self.lineage,
                "tracking": self.tracking and self.tracking.as_fields(),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> TrainSpec:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        for name in ("start_path", "rows_path", "output"):
            fields[name] = Path(fields[name])
        fields["config"] = TrainConfig.model_validate(fields["config"])
        fields["tracking"] = fields["tracking"] and Tracking.from_fields(fields["tracking"])
        return cls(**fields)
