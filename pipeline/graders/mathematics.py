"""`math`: the exact fast path at once, math-verify in a worker for what it leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config.graders import MathGrader
from pipeline.graders import equivalence, exact, extraction
from pipeline.graders.protocol import Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.identity import text_hash
from pipeline.records import GradeItem, Verdict

_LONGEST_SYMBOLIC = 1_000
"""Characters; a longer pair that nothing else decided is not worth the seconds of SymPy."""


class Mathematics:
    """Grader of `type: math`."""

    backlog = 16
    memory_mb = 1536
    environment: tuple[str, ...] = ()

    def __init__(self, config: MathGrader, digest: str) -> None:
        self._config = config
        self._digest = digest

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Decided at once where strings or numbers are enough."""
        gold = self._gold(render(self._config.gold, item))
        if not gold:
            return ungraded(item, "unparseable_gold")
        region = extraction.answer_region(item.response, self._config.max_chars)
        answer = extraction.extract(region, self._config.extract)
        if answer is None:
            return graded(item, False, "no_answer")
        equal = exact.decide(gold, answer)
        if equal or (equal is False and self._config.tolerance == 0):
            return graded(item, equal, "exact" if equal else "different", answer)
        decision = equivalence.decide(gold, answer, self._config)
        if decision.equal is not None:
            return graded(item, decision.equal, decision.reason, answer)
        if len(gold) > _LONGEST_SYMBOLIC or len(answer) > _LONGEST_SYMBOLIC:
            far_longer = len(answer) > 4 * len(gold) + _LONGEST_SYMBOLIC
            return (
                graded(item, False, "too_long", answer) if far_longer else ungraded(item, "too_long", answer)
            )
        return Job(
            payload={"gold": gold, "answer": answer},
            cache_key=text_hash(f"{self._digest}\0{gold}\0{answer}"),
            answer=answer,
            limit_s=self._config.timeout_s,
        )

    def _gold(self, text: str) -> str:
        """The gold answer; read off where the source gives a whole solution, as GSM8K does (`... ####
        72`).
        """
        gold = text.strip()
        if len(gold) > 60 or "####" in gold or "\\boxed" in gold:
            return extraction.extract(gold, self._config.extract) or gold
        return gold

    def warm(self) -> None:
        """Import what the work needs, before the clock of the first job runs."""
        from pipeline.graders import symbolic

        symbolic.warm()

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """math-verify and its guards."""
        from pipeline.graders import symbolic

        answer = payload["answer"]
        equal, reason = symbolic.compare(payload["gold"], answer)
        if equal is None:
            return ungraded(None, reason, answer)
        return graded(None, equal, "symbolically_different" if reason == "different" else reason, answer)
