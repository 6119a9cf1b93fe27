"""Problems of an experiment: sources, splits, exemplars, decontamination."""

from pipeline.problems.growth import Growth, new_problems
from pipeline.problems.load import ProblemSet, load_problems

__all__ = ["Growth", "ProblemSet", "load_problems", "new_problems"]
