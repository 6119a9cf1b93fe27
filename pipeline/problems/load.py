"""The problem set of an experiment: read, refuse, decontaminate, split, and count what became of every row.

The order matters: exemplars leave the train pool first, so that none can be drawn to dev; what repeats a dev
or eval question goes before dev is drawn from train, so that dev never holds an eval question; and what
repeats a drawn dev question goes last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.of_source import own_exemplars
from pipeline.config.problems import (
    ColumnAdditionSource,
    DatasetsSource,
    DigitAdditionSource,
    JsonlSource,
    ParquetSource,
)
from pipeline.counted import counted
from pipeline.errors import ConfigError, DataError
from pipeline.problems import column_addition, digit_addition
from pipeline.problems.bad_rows import BadRows
from pipeline.problems.choices import shuffle_choices
from pipeline.problems.decontamination import HeldOut, normal_question
from pipeline.problems.exemplars import exemplar_of
from pipeline.problems.further import read_further
from pipeline.problems.imported import read_imported
from pipeline.problems.mapping import RowMapper
from pipeline.problems.register import Register
from pipeline.problems.rows import read_problems
from pipeline.problems.sources import open_source
from pipeline.problems.splits import as_exemplar, dev_from_train, exemplars_from_train
from pipeline.records import BadProblem, Exemplar, Problem, Rejection, RejectionReason, Split

RowSources = JsonlSource | ParquetSource | DatasetsSource


@dataclass(slots=True)
class ProblemSet:
    """All problems of an experiment and what became of the rows that are not among them.

    `problems` holds train, dev, eval and further ones in this order, each in the order of its
    sources. `left_out` are the train problems behind `rejections` (reason `exemplar` or `contaminated`).
    `imported` pairs a problem id with the text of a rationale. `notes` are sentences whose counts add up.
    """

    problems: list[Problem] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    hinted_exemplars: list[Exemplar] = field(default_factory=list)
    bad: list[BadProblem] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)
    imported: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_problems(config: ExperimentConfig) -> ProblemSet:
    """Read every source of `config.problems`. Deterministic in the config and the content of the files.

    Raises DataError for a bad row under `on_bad_row: error`, for a file that is missing or unreadable and for
    sources without any problem; ConfigError where the config asks for what the data does not have.
    """
    settings = config.problems
    data_dir = Path(settings.data_dir or ".")
    bad = BadRows(settings.on_bad_row)
    result = ProblemSet()
    problems = _read_sources(config, data_dir, bad, result.notes)
    if settings.shuffle_choices:
        problems = [shuffle_choices(problem) for problem in problems]
    splits: dict[Split, list[Problem]] = {split: [] for split in Split}
    for problem in problems:
        splits[problem.split].append(problem)
    pool = _TrainPool(splits[Split.TRAIN])
    _take_out_exemplars(config, pool, splits[Split.DEV] + splits[Split.EVAL], result)
    compared = {name for name, source in settings.sources.items() if isinstance(source, RowSources)}
    pool.decontaminate(HeldOut(splits[Split.DEV] + splits[Split.EVAL], settings.decontaminate), compared)
    further, notes = read_further(config, data_dir, bad)
    result.notes += notes
    # Generated sources keep clear of their own dev and eval questions, not of other people's sets.
    pool.decontaminate(HeldOut(further, settings.decontaminate), set(settings.sources))
    _draw_exemplars(config, pool, result)
    drawn = dev_from_train(pool.problems, settings.dev_from_train, config.seed)
    moved = pool.move_to_dev(drawn)
    pool.decontaminate(HeldOut(moved, settings.decontaminate), compared)
    result.problems = pool.problems + splits[Split.DEV] + moved + splits[Split.EVAL] + further
    if not result.problems:
        raise DataError(
            "problems.sources hold no problem; see the rows refused, and the paths and limits of sources"
        )
    result.rejections, result.left_out = pool.rejections, pool.left_out
    result.notes.append(pool.sentence())
    for split in (Split.DEV, Split.EVAL):
        result.notes.append(
            f"{split}: {counted(sum(one.split is split for one in result.problems), 'problem')}"
        )
    if settings.imported is not None:
        result.imported, sentence = read_imported(settings.imported, data_dir, pool.problems, bad)
        result.notes.append(sentence)
    result.bad = bad.rows
    return result


class _TrainPool:
    """The train problems still in, and why the others went."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        self.rejections: list[Rejection] = []
        self.left_out: list[Problem] = []
        self._start = len(self.problems)
        self._moved = 0

    def reject(self, rejections: Sequence[Rejection]) -> None:
        gone = {rejection.problem_id for rejection in rejections}
        self.rejections += rejections
        self.left_out += [problem for problem in self.problems if problem.problem_id in gone]
        self.problems = [problem for problem in self.problems if problem.problem_id not in gone]

    def decontaminate(self, held_out: HeldOut, compared: set[str]) -> None:
        """Reject what repeats a held-out question, of the sources named in `compared`."""
        found = (held_out.rejection(problem) for problem in self.problems if problem.source in compared)
        self.reject([rejection for rejection in found if rejection is not None])

    def move_to_dev(self, drawn: Sequence[Problem]) -> list[Problem]:
        """Take the drawn problems out and give them back as dev problems, in the order of the rows."""
        ids = {problem.problem_id for problem in drawn}
        moved = [replace(one, split=Split.DEV) for one in self.problems if one.problem_id in ids]
        self.problems = [problem for problem in self.problems if problem.problem_id not in ids]
        self._moved = len(moved)
        return moved

    def sentence(self) -> str:
        counts = Counter(rejection.reason for rejection in self.rejections)
        return (
            f"train: {counted(self._start, 'problem')} read, {counts[RejectionReason.EXEMPLAR]:,} left out "
            f"as exemplars, {counts[RejectionReason.CONTAMINATED]:,} contaminated, {self._moved:,} moved to "
            f"dev: {len(self.problems):,} left"
        )


def _read_sources(config: ExperimentConfig, data_dir: Path, bad: BadRows, notes: list[str]) -> list[Problem]:
    """All problems, source by source. Eval and dev are read first, so that they win where ids coincide."""
    register = Register()
    read: dict[str, tuple[list[Problem], list[str]]] = {}
    sources = config.problems.sources
    for name in sorted(sources, key=lambda one: _reading_order(sources[one])):
        source = sources[name]
        if isinstance(source, ColumnAdditionSource):
            read[name] = column_addition.generate(source, name)
        elif isinstance(source, DigitAdditionSource):
            read[name] = digit_addition.generate(source, name)
        else:
            opened = open_source(source, name, data_dir)
            mapper = RowMapper(opened.fields, source.split, name, f"problems.sources.{name}")
            read[name] = read_problems(opened, mapper, register, bad)
    for name in sources:
        notes += read[name][1]
    return [problem for name in sources for problem in read[name][0]]


def _reading_order(source: object) -> int:
    order = {Split.EVAL: 0, Split.DEV: 1, Split.TRAIN: 2}
    return order[source.split] if isinstance(source, RowSources) else len(order)


def _take_out_exemplars(
    config: ExperimentConfig, pool: _TrainPool, held_out: Sequence[Problem], result: ProblemSet
) -> None:
    """Make exemplars of the config's; a train problem with the question of one leaves the pool."""
    given = config.prompts.few_shot
    hinted = given if config.prompts.hinted_few_shot is None else config.prompts.hinted_few_shot
    result.exemplars = [exemplar_of(one, f"prompts.few_shot[{at}]") for at, one in enumerate(given)]
    result.hinted_exemplars = [
        exemplar_of(one, f"prompts.hinted_few_shot[{at}]") for at, one in enumerate(hinted)
    ]
    questions = {normal_question(one.question) for one in (*given, *hinted, *own_exemplars(config))}
    if not questions:
        return
    for problem in held_out:
        if normal_question(problem.question) in questions:
            raise ConfigError(
                f"an exemplar of prompts.few_shot asks the {problem.split} problem {problem.problem_id} "
                f"({problem.question[:60]!r}): every prompt would show its answer; replace the exemplar"
            )
    detail = "question of an exemplar of prompts.few_shot"
    pool.reject(
        [
            Rejection(problem.problem_id, None, RejectionReason.EXEMPLAR, detail)
            for problem in pool.problems
            if normal_question(problem.question) in questions
        ]
    )


def _draw_exemplars(config: ExperimentConfig, pool: _TrainPool, result: ProblemSet) -> None:
    count = config.problems.exemplars_from_train
    drawn = exemplars_from_train(pool.problems, count, config.seed, config.prompts.answer_line)
    exemplars = [as_exemplar(problem) for problem in drawn]
    result.exemplars += exemplars
    if config.prompts.hinted_few_shot is None:
        result.hinted_exemplars += exemplars
    detail = "drawn as exemplar (problems.exemplars_from_train)"
    pool.reject([Rejection(one.problem_id, None, RejectionReason.EXEMPLAR, detail) for one in drawn])
