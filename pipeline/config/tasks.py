"""What a source of problems can have of its own where an experiment trains on several tasks at once."""

from __future__ import annotations

from pipeline.config.graders import GraderConfig
from pipeline.config.section import Section, option


class ExemplarConfig(Section):
    """One worked example."""

    question: str = option()
    rationale: str = option()
    """The reasoning, its answer line last."""
    answer: str = option()
    choices: dict[str, str] = option(default_factory=dict)


class TaskPrompts(Section):
    """How the questions of one source are laid out; what is None is as in `prompts`."""

    question: str | None = option(None)
    hinted_question: str | None = option(None)
    choice: str | None = option(None)
    hinted_choice: str | None = option(None)
    few_shot: tuple[ExemplarConfig, ...] | None = option(None, min_length=1)
    """Exemplars of this source's prompts, with hints of its rationalization prompts too."""


class Task(Section):
    """What every source can have of its own. A problem keeps its source, and with it these."""

    prompts: TaskPrompts | None = option(None, later=True)
    """None: as `prompts`."""
    grader: GraderConfig | None = option(None, later=True)
    """Decides for the problems of this source. None: `verify.grader` does."""
    share: float | None = option(None, later=True, gt=0, le=1)
    """Of `generate.problems`, drawn from this source each round (all of it where it has fewer). Sources
    without a share divide the rest by their sizes."""
