"""General data that is trained on beside an experiment's own rows: read, and refused with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.experiment import ReplayConfig
from pipeline.errors import DataError
from pipeline.identity import canonical_json, text_hash
from pipeline.problems.bad_rows import BadRowError, shorten
from pipeline.problems.sources import existing_file, read_jsonl


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A text to train on whole (`prompt` empty), or a completion with the prompt that it follows."""

    replay_id: str
    prompt: str
    completion: str


def read_replay(config: ReplayConfig, data_dir: Path) -> list[ReplayRow]:
    """The distinct rows of the file, in its order. DataError naming file, line and remedy for a bad one."""
    rows: dict[str, ReplayRow] = {}
    for line in read_jsonl(existing_file(config.path, "train.replay", data_dir)):
        try:
            if isinstance(line.content, BadRowError):
                raise line.content
            prompt, completion = _texts(line.content)
        except BadRowError as error:
            raise DataError(f"{config.path} line {line.line}: {error.detail}; correct the row") from None
        replay_id = f"replay:{text_hash(canonical_json([prompt, completion]))}"
        rows.setdefault(replay_id, ReplayRow(replay_id, prompt, completion))
    if not rows:
        raise DataError(f"train.replay.path: {config.path} holds no row; expected JSON Lines")
    return list(rows.values())


def _texts(row: Mapping[str, Any]) -> tuple[str, str]:
    if set(row) & {"text", "prompt", "completion"} == {"text"}:
        return "", _said(row, "text")
    if "text" not in row and {"prompt", "completion"} <= set(row):
        return _said(row, "prompt"), _said(row, "completion")
    raise BadRowError(
        "missing_field",
        f"has {', '.join(map(repr, row)) or 'nothing'}; expected prompt and completion, or text",
    )


def _said(row: Mapping[str, Any], name: str) -> str:
    text = row[name]
    if not isinstance(text, str) or not text.strip():
        raise BadRowError("wrong_type", f"{name} is {shorten(text)}; expected text")
    return text
