"""Problems of other tasks, read beside the experiment's own: measured every round, never trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config.experiment import ExperimentConfig, FurtherSet
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.identity import seed_of
from pipeline.problems.bad_rows import BadRows
from pipeline.problems.decontamination import normal_question
from pipeline.problems.mapping import RowMapper
from pipeline.problems.register import Register
from pipeline.problems.rows import read_problems
from pipeline.problems.sources import OpenedSource, existing_file, read_jsonl
from pipeline.records import Problem, Split


def read_further(config: ExperimentConfig, data_dir: Path, bad: BadRows) -> tuple[list[Problem], list[str]]:
    """The problems of every set of `evaluate.further`, and a sentence for each. Errors as `load_problems`.

    Ids begin with the name of the set, so that one problem may stand in several sets.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    for name, further in (config.evaluate.further or {}).items():
        key = f"evaluate.further.{name}"
        rows = read_jsonl(existing_file(further.path, key, data_dir))
        mapper = RowMapper(further.fields, Split.FURTHER, name, key)
        found, told = read_problems(OpenedSource(further.path, further.fields, rows), mapper, Register(), bad)
        drawn = _drawn(found, further.limit, config.seed)
        _refuse_shown_answers(key, further, drawn)
        problems += [replace(one, problem_id=f"{name}:{one.problem_id}") for one in drawn]
        notes += told
        notes.append(f"further {name}: {counted(len(drawn), 'problem')}")
    return problems, notes


def _drawn(problems: list[Problem], limit: int | None, seed: int) -> list[Problem]:
    if limit is None or limit >= len(problems):
        return problems
    ranked = sorted(problems, key=lambda problem: seed_of(seed, 0, "evaluate", problem.problem_id, 0))
    chosen = {problem.problem_id for problem in ranked[:limit]}
    return [problem for problem in problems if problem.problem_id in chosen]


def _refuse_shown_answers(key: str, further: FurtherSet, problems: list[Problem]) -> None:
    """ConfigError where an exemplar of the set asks one of its problems."""
    shown = {normal_question(exemplar.question) for exemplar in further.few_shot}
    for problem in problems:
        if normal_question(problem.question) in shown:
            raise ConfigError(
                f"an exemplar of {key}.few_shot asks problem {problem.problem_id} of the set "
                f"({problem.question[:60]!r}): every prompt would show its answer; replace the exemplar"
            )
