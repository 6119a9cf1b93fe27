"""Supervised fine-tuning on the selected rows, in a child process; checkpoints appear whole or not at all."""

from pipeline.training.checkpoints import CheckpointRole, prune, remove_checkpoint, require_checkpoint
from pipeline.training.held_out import held_out_problems
from pipeline.training.kernels import require_kernels
from pipeline.training.plan import StepPlan, planned_steps
from pipeline.training.rounds_log import log_rounds
from pipeline.training.run import TrainResult, train
from pipeline.training.spec import TrainSpec
from pipeline.training.tracking import Tracking, require_trackers

__all__ = [
    "CheckpointRole",
    "StepPlan",
    "TrainResult",
    "TrainSpec",
    "Tracking",
    "held_out_problems",
    "log_rounds",
    "planned_steps",
    "prune",
    "remove_checkpoint",
    "require_checkpoint",
    "require_kernels",
    "require_trackers",
    "train",
]
