"""Train problems that were added to the files of an experiment since its problems were last read.

They join from the next round on. What is measured stays what it was: dev and eval problems are those of round
0, later ones are only counted. Sources that are generated, or pinned by a revision, do not grow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ExperimentConfig
from pipeline.config.problems import JsonlSource, ParquetSource
from pipeline.problems.decontamination import HeldOut
from pipeline.problems.load import load_problems
from pipeline.records import Problem, Rejection, Split


@dataclass(frozen=True, slots=True)
class Growth:
    """New train problems, those left out of them with the reason, and a sentence whose counts add up."""

    problems: tuple[Problem, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    note: str | None = None


def new_problems(config: ExperimentConfig, known: Collection[str], held_out: Sequence[Problem]) -> Growth:
    """What the files hold beyond the ids in `known`; `held_out` are the recorded problems of other
    splits than train.

    Raises as `load_problems`, except where a file is gone: then nothing has arrived.
    """
    files = [
        source
        for source in config.problems.sources.values()
        if isinstance(source, JsonlSource | ParquetSource)
    ]
    folder = Path(config.problems.data_dir or ".")
    if not files or not all((folder / source.path).exists() for source in files):
        return Growth()
    # Nothing is drawn to dev or as exemplars again: the draws of round 0 stand.
    undrawn = {"dev_from_train": 0, "exemplars_from_train": 0}
    problems = config.problems.model_copy(update=undrawn)
    measured = config.evaluate.model_copy(update={"further": None})  # those of round 0 stay
    loaded = load_problems(config.model_copy(update={"problems": problems, "evaluate": measured}))
    seen = set(known)
    arrived = [problem for problem in loaded.problems if problem.problem_id not in seen]
    rejected = [each for each in loaded.rejections if each.problem_id not in seen]
    later_held_out = sum(problem.split != Split.TRAIN for problem in arrived)
    index = HeldOut(held_out, config.problems.decontaminate)
    kept: list[Problem] = []
    for problem in arrived:
        if problem.split == Split.TRAIN:
            rejection = index.rejection(problem)
            if rejection is None:
                kept.append(problem)
            else:
                rejected.append(rejection)
    if not arrived and not rejected:
        return Growth()
    note = (
        f"{len(kept) + len(rejected) + later_held_out:,} new problems in the files: {len(kept):,} join, "
        f"{len(rejected):,} left out, {later_held_out:,} of dev or eval not used (those of round 0 stay)"
    )
    return Growth(tuple(kept), tuple(rejected), note)
