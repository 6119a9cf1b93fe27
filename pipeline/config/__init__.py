"""Every setting of an experiment, as pydantic models: one docstring a field, an unknown key fails."""

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.load import LoadedConfig, load_config, stage_config

__all__ = ["ExperimentConfig", "LoadedConfig", "load_config", "stage_config"]
