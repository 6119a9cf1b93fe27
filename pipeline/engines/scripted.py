"""An engine that replays given texts: for tests of what is not the model. Its rows say `scripted`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.engines import EngineConfig
from pipeline.errors import ConfigError, DataError
from pipeline.records import Completion, FinishReason, Request, Sampling

ScriptKey = tuple[str, str, int]  # problem_id, origin, sample


@dataclass(frozen=True, slots=True)
class _Line:
    texts: tuple[str, ...]
    finish_reason: FinishReason


class ScriptedEngine:
    """Sample i of a problem gets text i modulo the number of its texts; a problem without a row gets "".

    The caller sets `keys` (request id to problem, origin and sample) before `complete`.
    """

    kind = "scripted"
    device = "none"
    context = 1 << 20
    mixes = True

    def __init__(self, config: EngineConfig, *, model_hash: str) -> None:
        if config.script is None:
            raise ConfigError("engine.kind is scripted, but engine.script names no JSON Lines file; set it")
        self.model_hash = model_hash
        self.versions: dict[str, str] = {}
        self.keys: dict[str, ScriptKey] = {}
        self._lines = read_script(Path(config.script))
        self._flush_every = config.flush_every

    def groups(self, requests: Sequence[Request]) -> list[tuple[Request, ...]]:
        """One request each."""
        return [(request,) for request in requests]

    def complete(
        self, groups: Iterable[tuple[Request, ...] | None], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Lists of up to `flush_every` completions. Token counts are words."""
        ready: list[Completion] = []
        for group in groups:
            ready += [self._completion(request) for request in group or ()]
            if group is None or len(ready) >= self._flush_every:
                yield ready
                ready = []
        if ready:
            yield ready

    def peak_gpu_memory(self) -> float | None:
        """None: there is no model."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _completion(self, request: Request) -> Completion:
        key = self.keys.pop(request.request_id, None)
        if key is None:
            raise DataError(
                f"request {request.request_id} is not in the keys of the scripted engine; "
                "expected the caller to set engine.keys for every request"
            )
        problem_id, origin, sample = key
        line = self._lines.get((problem_id, origin)) or self._lines.get((problem_id, None))
        text, reason = "", FinishReason.EOS
        if line is not None:
            text, reason = line.texts[sample % len(line.texts)], line.finish_reason
        words, prompt_words = len(text.split()), len(request.prompt.split())
        return Completion(request.request_id, text, reason, prompt_words, words, None, 0.0)


def read_script(path: Path) -> dict[tuple[str, str | None], _Line]:
    """Rows `{problem_id, origin?, texts, finish_reason?}` of a JSON Lines file by problem and origin.

    ConfigError where there is no such file, DataError naming file and line where a row is wrong.
    """
    if not path.is_file():
        raise ConfigError(f"engine.script: no file at {path.absolute()}; expected JSON Lines")
    lines: dict[tuple[str, str | None], _Line] = {}
    with path.open(encoding="utf-8") as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.strip():
                continue
            try:
                key, line = _parse(json.loads(raw))
            except (ValueError, KeyError, TypeError) as error:
                expected = "{problem_id, origin?, texts: [...], finish_reason?}"
                raise DataError(f"{path}:{number}: {error}; expected {expected}") from error
            if key in lines:
                raise DataError(f"{path}:{number}: problem {key[0]!r}, origin {key[1]!r} is there twice")
            lines[key] = line
    return lines


def _parse(row: Mapping[str, Any]) -> tuple[tuple[str, str | None], _Line]:
    texts = row["texts"]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts is {texts!r}, expected a list of one or more texts")
    reason = FinishReason(row.get("finish_reason") or FinishReason.EOS)
    return (str(row["problem_id"]), row.get("origin")), _Line(tuple(texts), reason)
