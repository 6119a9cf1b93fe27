"""Supervised fine-tuning on the selected rows, in a child process; checkpoints appear whole or not at all."""

from pipeline.training.checkpoints import CheckpointRole, prune, require_checkpoint
from pipeline.training.plan import StepPlan, planned_steps
from pipeline.training.run import TrainResult, train
from pipeline.training.spec import TrainSpec

__all__ = [
    "CheckpointRole",
    "StepPlan",
    "TrainResult",
    "TrainSpec",
    "planned_steps",
    "prune",
    "require_checkpoint",
    "train",
]
