"""What an experiment asks of its dev problems."""

from __future__ import annotations

from pipeline.config import ExperimentConfig
from pipeline.errors import ConfigError


def check_dev_problems(config: ExperimentConfig, dev_problems: int) -> None:
    """ConfigError where a choice is to be made on dev problems and there are none."""
    if dev_problems:
        return
    if config.generate.temperatures is not None:
        raise ConfigError(
            "generate.temperatures chooses on dev problems, and this experiment has none: give a source of "
            "problems split: dev, or set generate.temperatures to null"
        )
    variants = config.train.variants
    if variants and config.train.held_out is None:
        raise ConfigError(
            f"train.variants has {len(variants)} variants, but there are no dev problems to tell which is "
            "best: add a source with split: dev, or set train.held_out, for example to 0.1"
        )
