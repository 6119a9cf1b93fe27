"""What an experiment made, in the layout of the Hugging Face hub: datasets, and models with their lineage."""

from pipeline.export.datasets import (
    Layout,
    export_preferences,
    export_problems,
    export_rationales,
    export_training,
)
from pipeline.export.hub import push, require_pushable
from pipeline.export.models import export_model
from pipeline.export.rounds import best_round

__all__ = [
    "Layout",
    "best_round",
    "export_model",
    "export_preferences",
    "export_problems",
    "export_rationales",
    "export_training",
    "push",
    "require_pushable",
]
