"""Which grader, which exemplars and which share a source has: its own, or the experiment's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.graders import GraderConfig
from pipeline.config.tasks import ExemplarConfig, TaskPrompts


def grader_of(config: ExperimentConfig, source: str) -> GraderConfig:
    """The grader that decides for problems of a source."""
    return own_graders(config).get(source, config.verify.grader)


def own_graders(config: ExperimentConfig) -> Mapping[str, GraderConfig]:
    """The graders of the sources that have one."""
    sources = config.problems.sources.items()
    return {name: source.grader for name, source in sources if source.grader is not None}


def deciding_graders(config: ExperimentConfig) -> list[GraderConfig]:
    """Every grader that decides: the experiment's first, then those of sources, each once."""
    graders = [config.verify.grader]
    for grader in own_graders(config).values():
        if grader not in graders:
            graders.append(grader)
    return graders


def own_prompts(config: ExperimentConfig) -> Mapping[str, TaskPrompts]:
    """The prompts of the sources that have some."""
    sources = config.problems.sources.items()
    return {name: source.prompts for name, source in sources if source.prompts is not None}


def own_exemplars(config: ExperimentConfig) -> Iterator[ExemplarConfig]:
    """Every exemplar of a source."""
    for prompts in own_prompts(config).values():
        yield from prompts.few_shot or ()


def shares(config: ExperimentConfig) -> Mapping[str, float]:
    """The shares of the sources that have one."""
    sources = config.problems.sources.items()
    return {name: source.share for name, source in sources if source.share is not None}
