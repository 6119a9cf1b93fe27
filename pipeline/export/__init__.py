"""What an experiment made, in the layout of the Hugging Face hub: datasets, and models with their lineage."""

from pipeline.export.datasets import export_rationales, export_training
from pipeline.export.models import export_model
from pipeline.export.rounds import best_round

__all__ = ["best_round", "export_model", "export_rationales", "export_training"]
