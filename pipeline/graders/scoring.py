"""Run a scoring function that a user wrote, in the sandbox."""

from __future__ import annotations

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
    if not isinstance(said, dict) or not isinstance(said.get("score"), (int, float)):
        raise ScorerError("scorer_error")
    return float(said["score"])
