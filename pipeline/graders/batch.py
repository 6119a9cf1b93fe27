"""Grade a file, or one pair with an explanation: what `star grade` does."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from pipeline.config.graders import GraderConfig
from pipeline.counted import counted
from pipeline.errors import ConfigError, DataError
from pipeline.graders.grading import open_grading
from pipeline.graders.registry import parse_config
from pipeline.progress import Progress
from pipeline.records import GradeItem, Origin, Outcome, Verdict

ADDED = ("outcome", "score", "reason", "answer", "elapsed_ms", "subscores")
"""Fields written into each row."""


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Counts of a graded file. `reasons` counts (outcome, reason)."""

    rows: int
    outcomes: Mapping[str, int]
    reasons: Mapping[tuple[str, str], int]
    seconds: float

    def text(self) -> str:
        """One line whose counts add up."""
        counts = ", ".join(f"{self.outcomes.get(outcome.value, 0):,} {outcome.value}" for outcome in Outcome)
        return f"{counted(self.rows, 'row')}: {counts}; {self.seconds:.1f} s"


def load_grader(path: Path) -> GraderConfig:
    """The grader of a YAML file: the mapping itself, or the one under `grader` or `verify.grader`.

    Raises ConfigError, naming the file and what is wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"grader file {str(path)!r} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    for key in ("verify", "grader"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not {"type", "preset"} & data.keys():
        raise ConfigError(f"{path} describes no grader; expected a mapping with type or preset")
    try:
        return parse_config(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def grade_file(
    path: Path, config: GraderConfig, out: Path, *, workers: int, progress: Progress, gold: str = "gold"
) -> BatchSummary:
    """Grade the rows of a JSONL file and write each back, with its verdict, in the order read.

    A row has at least `response` and the field named by `gold`; `question`, `choices`, `origin` and `hint`
    are used where present, and every field can be named in templates as `{{item.x}}`. `out` appears only when
    it is complete. Raises DataError naming the file and line of a row that cannot be used.
    """
    started = time.monotonic()
    rows: deque[dict[str, Any]] = deque()  # read, not yet written: at most the window of the grading
    outcomes: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    temporary = out.with_name(f"{out.name}.tmp{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            path.open(encoding="utf-8") as source,
            temporary.open("w", encoding="utf-8") as target,
            open_grading(config, workers) as grading,
            progress.task("grading", None, "rows") as task,
        ):
            for verdict in grading.grade(_items(source, path, gold, rows)):
                _write(target, rows.popleft(), verdict)
                outcomes[verdict.outcome.value] += 1
                reasons[(verdict.outcome.value, verdict.reason)] += 1
                task.advance()
        os.replace(temporary, out)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return BatchSummary(outcomes.total(), dict(outcomes), dict(reasons), time.monotonic() - started)


def grade_pair(gold: str, response: str, config: GraderConfig, **fields: Any) -> Verdict:
    """The verdict on one response."""
    with open_grading(config, 1) as grading:
        [verdict] = grading.grade([GradeItem(key="", answer=gold, response=response, **fields)])
    return verdict


def _items(source: IO[str], path: Path, gold: str, rows: deque[dict[str, Any]]) -> Iterator[GradeItem]:
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path} line {number} is not JSON; expected one object per line") from None
        if not isinstance(row, dict):
            raise DataError(f"{path} line {number} holds {type(row).__name__}; expected an object")
        item = _item(row, f"{path} line {number}", gold, str(number))
        rows.append(row)
        yield item


def _item(row: Mapping[str, Any], place: str, gold: str, key: str) -> GradeItem:
    for name in (gold, "response"):
        if not isinstance(row.get(name), (str, int, float)) or isinstance(row.get(name), bool):
            found = "missing" if name not in row else f"{type(row[name]).__name__}"
            raise DataError(f"{place}: field {name!r} is {found}; expected a text or a number")
    origin = str(row.get("origin", Origin.GENERATED.value))
    if origin not in {known.value for known in Origin}:
        raise DataError(
            f"{place}: origin {origin!r}; expected one of {', '.join(known.value for known in Origin)}"
        )
    choices = row.get("choices") or {}
    if not isinstance(choices, dict):
        raise DataError(f"{place}: choices is {type(choices).__name__}; expected an object of key to text")
    return GradeItem(
        key=key,
        answer=str(row[gold]),
        response=str(row["response"]),
        question=str(row.get("question", "")),
        choices={str(name): str(text) for name, text in choices.items()},
        origin=Origin(origin),
        hint=None if row.get("hint") is None else str(row["hint"]),
        item={name: value for name, value in row.items() if name not in ADDED},
    )


def _write(target: IO[str], row: Mapping[str, Any], verdict: Verdict) -> None:
    graded = {
        **row,
        "outcome": verdict.outcome.value,
        "score": verdict.score,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "elapsed_ms": round(verdict.elapsed_ms, 3),
    }
    if verdict.subscores:
        graded["subscores"] = dict(verdict.subscores)
    target.write(json.dumps(graded, ensure_ascii=True) + "\n")
