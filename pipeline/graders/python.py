"""`python`: a user's own `def grade(sample, item) -> float`, as OpenAI's grader of that name; in the
sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.config.graders import PythonGrader
from pipeline.graders import extraction
from pipeline.graders.protocol import Job, graded, ungraded
from pipeline.graders.sandbox import Limits, require
from pipeline.graders.scoring import ScorerError, run_scorer
from pipeline.identity import text_hash
from pipeline.records import GradeItem, Verdict


class Python:
    """Grader of `type: python`."""

    backlog = 1
    memory_mb = 4096
    environment: tuple[str, ...] = ()

    def __init__(self, config: PythonGrader, digest: str) -> None:
        require(config.name, config.allow_unsafe)
        self._config = config
        self._digest = digest

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Always the sandbox."""
        text = extraction.answer_region(item.response, self._config.max_chars)
        sample = {"output_text": text, "origin": str(item.origin)}
        context = {
            **item.item, "answer": item.answer, "question": item.question, "choices": dict(item.choices),
            "hint": item.hint,
        }  # fmt: skip
        arguments = json.dumps([sample, context], default=str)
        key = text_hash(f"{self._digest}\0{arguments}")
        limit = self._config.timeout_s + 20
        return Job({"arguments": json.loads(arguments), "answer": None}, key, None, limit, limit)

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """The score that the function returns, which must lie between 0 and 1."""
        limits = Limits(seconds=self._config.timeout_s, memory_mb=self._config.memory_mb)
        try:
            score = run_scorer(
                self._config.source, "grade", payload["arguments"], limits, unsafe=self._config.allow_unsafe
            )
        except ScorerError as error:
            return ungraded(None, error.reason)
        if not 0.0 <= score <= 1.0:
            return ungraded(None, "score_out_of_range")
        passed = score >= self._config.pass_threshold
        return graded(None, passed, "score" if passed else "score_too_low", score=score)
