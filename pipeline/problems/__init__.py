"""Problems of an experiment: sources, splits, exemplars, decontamination."""

from pipeline.problems.load import ProblemSet, load_problems

__all__ = ["ProblemSet", "load_problems"]
