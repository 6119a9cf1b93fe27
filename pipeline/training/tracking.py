"""Trackers that follow an experiment (TensorBoard, W&B, MLflow, Trackio), through transformers' callbacks.

A training is a run of its own, `NAME-r001`; the numbers of the rounds are the run `NAME`, with the round as
step. What a tracker keeps on disk lies in the experiment's folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.errors import ConfigError
from pipeline.identity import digest

PROJECT = "star"
"""Where runs are grouped, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME say otherwise."""
RUN_TAG = "star_run"
"""MLflow names runs itself: ours are found by this tag."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Trackers by the names that transformers gives them; the run, and that of the whole experiment."""

    report_to: tuple[str, ...]
    run: str
    experiment_run: str
    folder: Path

    @classmethod
    def of_rounds(cls, config: TrainConfig, experiment: str, folder: Path) -> Tracking | None:
        """The run that holds the numbers of all rounds; None where nothing follows the experiment."""
        if not config.report_to:
            return None
        name = config.run_name or experiment
        return cls(config.report_to, name, name, folder)

    @classmethod
    def of_training(
        cls,
        config: TrainConfig,
        experiment: str,
        round_: int,
        folder: Path,
        variant: str | None = None,
    ) -> Tracking | None:
        """The run of one round's training, or of one `variant` of its sweep."""
        whole = cls.of_rounds(config, experiment, folder)
        which = f"r{round_:03d}" if variant is None else f"r{round_:03d}-{variant}"
        return whole and cls(whole.report_to, f"{whole.run}-{which}", whole.run, folder)

    def as_fields(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "folder": str(self.folder.resolve())}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Tracking:
        """The inverse of `as_fields`."""
        return cls(**{**fields, "report_to": tuple(fields["report_to"]), "folder": Path(fields["folder"])})

    @property
    def run_id(self) -> str:
        """16 hex characters by which the run is found again: no other home has them."""
        return digest([self.run, str(self.folder.resolve())])[:16]

    def environment(self) -> dict[str, str]:
        """The variables by which trackers learn of run and folder.

        Under HF_HUB_OFFLINE they write into the folder only; `wandb sync` and its like upload that later.
        """
        folder = self.folder.resolve()
        local = f"sqlite:///{folder / 'mlflow.db'}"
        of_tracker = {
            "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard" / self.run)},
            "wandb": {
                "WANDB_PROJECT": os.environ.get("WANDB_PROJECT", PROJECT),
                "WANDB_DIR": str(folder),
                "WANDB_RUN_GROUP": self.experiment_run,
                "WANDB_RUN_ID": self.run_id,
                "WANDB_RESUME": "allow",
                **({"WANDB_MODE": "offline"} if _is_offline() else {}),
            },
            "mlflow": {
                "MLFLOW_TAGS": json.dumps({RUN_TAG: self.run_id}),
                "MLFLOW_EXPERIMENT_NAME": os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
                "MLFLOW_TRACKING_URI": local
                if _is_offline()
                else os.environ.get("MLFLOW_TRACKING_URI", local),
                # With its own 7 a server that is away costs minutes.
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
            },
            "trackio": {"TRACKIO_DIR": str(folder / "trackio")},
        }
        return {name: value for tracker in self.report_to for name, value in of_tracker[tracker].items()}


def require_trackers(config: TrainConfig) -> None:
    """ConfigError naming the package to install where a tracker of `train.report_to` is not there."""
    missing = [name for name in config.report_to if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"train.report_to names {', '.join(missing)}, not installed in {sys.prefix}; run: "
            f"pip install {' '.join(missing)}; or leave it out"
        )


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
