"""Rationales that exist already, taken in as attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.problems import ImportedRationales
from pipeline.errors import DataError
from pipeline.problems.bad_rows import BadRowError, BadRows, shorten
from pipeline.problems.decontamination import normal_question
from pipeline.problems.sources import read_jsonl
from pipeline.records import Problem


def read_imported(
    config: ImportedRationales, data_dir: Path, train: Sequence[Problem], bad: BadRows
) -> tuple[list[tuple[str, str]], str]:
    """`(problem_id, text)` for each row that belongs to a train problem, and a sentence with the counts.

    Rows are `{problem_id, text}` or `{question, text}`; others are bad rows, among them texts for a problem
    that is not (or no longer) in train: contaminated, an exemplar, dev or eval.
    """
    file = data_dir / config.path
    if not file.is_file():
        raise DataError(
            f"problems.imported.path: no file {file}; expected JSON Lines {{problem_id, text}} relative to "
            "problems.data_dir; correct the path, or give the folder with --set problems.data_dir=FOLDER"
        )
    ids = {problem.problem_id for problem in train}
    by_question: dict[str, list[str]] = {}
    for problem in train:
        by_question.setdefault(normal_question(problem.question), []).append(problem.problem_id)
    texts: list[tuple[str, str]] = []
    start, rows = len(bad.rows), 0
    for row in read_jsonl(file):
        rows += 1
        try:
            if isinstance(row.content, BadRowError):
                raise row.content
            texts.append((_problem_id(row.content, ids, by_question), _text(row.content)))
        except BadRowError as error:
            bad.refuse(config.path, row.line, error)
    refused = len(bad.rows) - start
    return (
        texts,
        f"{rows:,} imported rationales read from {config.path}: {len(texts):,} taken, {refused:,} bad",
    )


def _text(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRowError("missing_text", f"text is {shorten(text)}; expected the rationale, its answer last")
    return text.strip()


def _problem_id(row: Mapping[str, Any], ids: set[str], by_question: Mapping[str, list[str]]) -> str:
    if row.get("problem_id") is not None:
        name = str(row["problem_id"])
        if name not in ids:
            raise BadRowError("unknown_problem", f"problem_id {name!r} is not among the train problems")
        return name
    question = row.get("question")
    if not isinstance(question, str):
        raise BadRowError("missing_field", "neither problem_id nor question; expected one of them")
    found = by_question.get(normal_question(question), [])
    if len(found) != 1:
        what = "no train problem has" if not found else f"{len(found)} train problems have"
        raise BadRowError("unknown_problem", f"{what} the question {shorten(question)}; expected exactly one")
    return found[0]
