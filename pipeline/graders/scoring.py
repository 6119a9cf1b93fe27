"""Run a scoring function that a user wrote, in the sandbox."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.graders.sandbox import Limits, Sandbox, SandboxDownError, SandboxError


class ScorerError(Exception):
    """The function failed: `reason` is a word for an ungraded verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def run_scorer(
    source: str, function: str, arguments: Sequence[Any], limits: Limits, *, unsafe: bool
) -> float:
    """`function(*arguments)` of `source` as a float. `arguments` are JSON. Raises ScorerError."""
    hello = {"source": source, "function": function, "arguments": list(arguments)}
    try:
        with Sandbox("scorer", hello, limits, unsafe=unsafe) as scorer:
            said = scorer.hear()
    except SandboxError as error:
        raise ScorerError(f"scorer_{error.reason}") from None
    except SandboxDownError:
        raise ScorerError("sandbox_failed") from None
    score = said.get("score") if isinstance(said, dict) else None
    if not isinstance(score, (int, float)) or not math.isfinite(score):
        raise ScorerError("scorer_error")
    return float(score)
