"""Where problems come from and how they are split."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.section import Section, option
from pipeline.config.tasks import Task
from pipeline.records import Split


class FieldMap(Section):
    """Which part of a source row is which field of a problem.

    A value is a dotted path into the row (`question.stem`), optionally followed by ` ~ ` and a regular
    expression whose first group is taken (`answer ~ ####\\s*(.+)$`). A path that leads nowhere makes a bad
    row where the field is needed (id, question, answer, choices); `difficulty` and `solution` may be absent
    in some rows, but not in all of them.
    """

    problem_id: str | None = option(None)
    """None: a hash of question, choices and answer."""
    question: str = option("question")
    answer: str = option("answer")
    """The gold answer: text or a number. With choices, the key of the right one (whatever its case), or its
    position from 0 as a JSON integer where the choices are a list of texts."""
    choices: str | None = option(None)
    """A list of `{label, text}`, a list of texts (keys a, b, c, ...), an object key -> text, or an object of
    two lists `{label: [...], text: [...]}` (the hub's layout). Keys are lowercased, and shown in their
    order."""
    difficulty: str | None = option(None)
    """Text or a number; accuracy is reported for each."""
    solution: str | None = option(None)
    """A gold rationale, where the data has one."""
    solution_strip: str | None = option(None)
    """Regular expression; what it matches is removed from solutions (`<<[^<>]*>>`, GSM8K's calculator
    marks)."""

    @field_validator("problem_id", "question", "answer", "choices", "difficulty", "solution")
    @classmethod
    def _path_is_readable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        path, tilde, pattern = value.partition(" ~ ")
        if not path.strip():
            raise ValueError("the path before ' ~ ' is empty; expected a field of the row, such as answer")
        if tilde:
            _compile(pattern.strip())
        return value

    @field_validator("solution_strip")
    @classmethod
    def _strip_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            _compile(value)
        return value


def _compile(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None


TaskSplit = Literal[Split.TRAIN, Split.DEV, Split.EVAL]
"""The splits of the experiment's own task."""


class RowSource(Task):
    """What sources that read rows share."""

    split: TaskSplit = option(Split.TRAIN)
    """The split its problems go to."""
    limit: int | None = option(None, ge=1)
    """Take only the first this many rows."""
    fields: FieldMap = option(default_factory=FieldMap)
    """Field mapping."""


class JsonlSource(RowSource):
    """JSON Lines, one problem a line."""

    kind: Literal["jsonl"] = "jsonl"
    path: str = option()
    """File, relative to `data_dir`."""


class ParquetSource(RowSource):
    """A Parquet file, one problem a row."""

    kind: Literal["parquet"] = "parquet"
    path: str = option()
    """File, relative to `data_dir`."""


class DatasetsSource(RowSource):
    """A Hugging Face dataset: a hub id with its revision, or a local folder made by `save_to_disk`."""

    kind: Literal["datasets"] = "datasets"
    path: str = option()
    """Hub id (`openai/gsm8k`) or folder."""
    name: str | None = option(None)
    """Configuration of the dataset (`main`)."""
    part: str = option("train")
    """The dataset's own split to read."""
    revision: str | None = option(None)
    """Commit of the hub repository. Pin it: a moving dataset makes a moving experiment."""
    local_file: str | None = option(None)
    """JSON Lines file with the same problems, relative to `data_dir`; read instead of the hub where it
    exists."""
    local_fields: FieldMap | None = option(None)
    """Field mapping of `local_file` where its rows are laid out differently. None: as `fields`."""


class ColumnAdditionSource(Task):
    """Generated column-labelled addition, the demo's task: `a 4 +9 b 2 +5` is 49+... least column first.

    The space of questions is split by hash, so that no eval question is ever a train question. Where a size
    has too few questions for what is asked, the shortage is reported.
    """

    kind: Literal["column_addition"] = "column_addition"
    train: int = option(3600, ge=1)
    """Distinct train questions, column counts uniform as far as their space allows."""
    dev: int = option(0, ge=0)
    """Distinct dev questions."""
    eval_per_size: dict[int, int] = option(default_factory=lambda: {1: 30, 2: 100, 3: 100, 4: 100, 5: 100})
    """Eval questions per number of columns."""
    max_columns: int = option(5, ge=1, le=8)
    """Columns from 1 to this; the difficulty of a problem."""
    seed: int = option(0)
    """Seed of the questions."""


class DigitAdditionSource(Task):
    """Generated n-digit addition with the paper's scratchpad (section 4.1; Nye et al. 2021, arXiv
    2112.00114)."""

    kind: Literal["digit_addition"] = "digit_addition"
    train: int = option(5000, ge=1)
    """Distinct train questions, digit counts uniform as far as their space allows."""
    dev: int = option(0, ge=0)
    """Distinct dev questions."""
    eval_per_size: dict[int, int] = option(default_factory=lambda: {1: 20, 2: 100, 3: 100, 4: 100, 5: 100})
    """Eval questions per number of digits."""
    max_digits: int = option(5, ge=1, le=12)
    """Digits from 1 to this; the difficulty of a problem."""
    seed: int = option(0)
    """Seed of the questions."""


Source = Annotated[
    JsonlSource | ParquetSource | DatasetsSource | ColumnAdditionSource | DigitAdditionSource,
    Field(discriminator="kind"),
]


class Decontamination(Section):
    """Train problems that repeat a dev or eval question are left out before any generation.

    Generated sources split their space instead and are not compared.
    """

    exact: bool = option(True)
    """Compare normalised question texts (case, spaces and punctuation ignored, arithmetic signs kept)."""
    ngram: int = option(13, ge=0)
    """Leave out a train question that shares a run of this many words with a dev or eval question (13 as in
    GPT-3's appendix C, arXiv 2005.14165); 0 is off. Shorter questions are compared exactly."""


class ImportedRationales(Section):
    """Rationales written elsewhere, taken in as attempts of round 1 with origin `imported` and graded like
    any."""

    path: str = option()
    """JSON Lines `{problem_id, text}` or `{question, text}`, relative to `data_dir`."""


class ProblemsConfig(Section):
    """The problem set of an experiment."""

    sources: dict[str, Source] = option()
    """Named sources; the name is kept in `problems.source`."""
    data_dir: str | None = option(None, execution=True)
    """Folder that relative paths start from. None: the folder of the config file."""
    dev_from_train: int = option(0, ge=0)
    """Move this many train problems, drawn by the experiment's seed, to `dev`."""
    exemplars_from_train: int = option(0, ge=0)
    """Use this many train problems with a gold solution, drawn by seed, as few-shot exemplars."""
    shuffle_choices: bool = option(False)
    """Permute the choices of each problem by its id, so that position carries no signal. Gold solutions of
    such problems are dropped, since they may name a choice by its old key."""
    on_bad_row: Literal["error", "skip"] = option("error")
    """`error` stops at the first bad row with file and line; `skip` keeps and counts it in `bad_problems`. A
    row that repeats an earlier one of its split exactly is counted there under both."""
    decontaminate: Decontamination = option(default_factory=Decontamination)
    """Comparison of train questions against dev and eval."""
    imported: ImportedRationales | None = option(None)
    """Rationales that exist already."""

    @model_validator(mode="after")
    def _imported_keys_stay_valid(self) -> ProblemsConfig:
        if self.imported is not None and self.shuffle_choices:
            raise ValueError(
                "problems.imported and problems.shuffle_choices exclude each other: imported texts name "
                "choices by their keys before the permutation; remove one of them"
            )
        return self
