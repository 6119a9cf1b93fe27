"""Judges by local engines: each model is opened once, in a process that the workers ask as an endpoint.

The workers stay small and can be killed; what counts as a vote, retries and cost are those of any endpoint.
The process listens on 127.0.0.1 and answers only who knows the key, which is made anew for each session.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.engines import EngineConfig
from pipeline.config.graders import GraderConfig, JudgeBase, MultiGrader
from pipeline.errors import ModelLoadError, StarError
from pipeline.identity import digest
from pipeline.process import Background

OPENING_LIMIT_S = 1800.0
"""Seconds that opening a model may take: a large one comes from a slow disk and is compiled."""
KEY = "STAR_JUDGE_KEY"
"""Variable that tells the serving process its key."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Names of the environment variables by which a worker finds a model: its URL and its key."""

    url: str
    key: str


def variables(config: JudgeBase) -> Variables:
    """Those of a judge; equal for judges that share a model."""
    stem = f"STAR_LOCAL_JUDGE_{digest(_model(config))[:12].upper()}"
    return Variables(f"{stem}_URL", f"{stem}_KEY")


class LocalJudges:
    """The models that a grader's judges need here: none for most graders."""

    def __init__(self, config: GraderConfig) -> None:
        parts = config.graders.values() if isinstance(config, MultiGrader) else [config]
        judges = [part for part in parts if isinstance(part, JudgeBase) and part.engine is not None]
        self._judges = {variables(judge): judge for judge in judges}
        self._serving: dict[Variables, Background] = {}
        self._told: dict[str, str] = {}

    @property
    def needed(self) -> bool:
        """Whether there is such a model."""
        return bool(self._judges)

    def open(self) -> Mapping[str, str]:
        """Open what is not open yet; the variables for the workers. ModelLoadError with the reason."""
        for names, judge in self._judges.items():
            if names not in self._serving:
                self._open(names, judge)
        return self._told

    def check(self) -> None:
        """StarError where a model's process has ended: every further item would be ungraded for nothing."""
        for names, serving in self._serving.items():
            if not serving.alive:
                model, words = self._judges[names].model, serving.last_words()
                raise StarError(
                    f"the process of the judge {model!r} ended while grading; it said: {words}. "
                    "Where it ran out of memory, lower engine.batch_size or engine.gpu_memory_utilization"
                )

    def close(self) -> None:
        """End the processes. Safe to call twice."""
        for serving in self._serving.values():
            serving.close()
        self._serving.clear()
        self._told.clear()

    def _open(self, names: Variables, judge: JudgeBase) -> None:
        key = secrets.token_hex(32)
        source = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        told = json.dumps({**_model(judge), "timeout_s": judge.timeout_s})
        serving = Background(
            [sys.executable, "-P", "-m", "pipeline.graders.judge_server", told],
            env={**os.environ, "PYTHONPATH": path, KEY: key},
        )
        self._serving[names] = serving
        try:
            port = int(serving.first_line(OPENING_LIMIT_S)["port"])
        except StarError as error:
            raise ModelLoadError(f"the judge {judge.model!r} of grader {judge.name!r}: {error}") from None
        self._told |= {names.url: f"http://127.0.0.1:{port}/v1", names.key: key}


def _model(config: JudgeBase) -> dict[str, object]:
    engine = (config.engine or EngineConfig()).model_dump(mode="json")
    return {"model": config.model, "revision": config.revision, "engine": engine}
