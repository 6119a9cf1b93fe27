"""`constraints`: does the response keep to verifiable instructions? IFEval's, and checks of the
user's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.graders import Constraint, ConstraintsGrader
from pipeline.errors import ConfigError
from pipeline.graders import extraction, ifeval
from pipeline.graders.protocol import Job, graded, ungraded
from pipeline.graders.sandbox import Limits, require
from pipeline.graders.scoring import ScorerError, run_scorer
from pipeline.graders.templates import render
from pipeline.identity import text_hash
from pipeline.records import GradeItem, Verdict


class Constraints:
    """Grader of `type: constraints`."""

    backlog = 1
    memory_mb = 2048
    environment: tuple[str, ...] = ()

    def __init__(self, config: ConstraintsGrader, digest: str) -> None:
        self._config = config
        self._digest = digest
        for check in config.checks or ():
            if check.source is not None:
                require(config.name, config.allow_unsafe)
            elif check.id.rsplit(":", 1)[-1] not in ifeval.CHECKS:
                known = ", ".join(sorted(ifeval.CHECKS))
                raise ConfigError(
                    f"constraint {check.id!r} does not exist; there are: {known}; or give its source"
                )

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Decided at once unless a check is the user's own."""
        checks = (
            self._config.checks
            if self._config.checks is not None
            else read_checks(render(self._config.gold, item))
        )
        if not checks:
            return ungraded(item, "unparseable_gold")
        text = extraction.answer_region(item.response, self._config.max_chars)
        if any(check.source is not None for check in checks):
            context = {**item.item, "question": item.question, "answer": item.answer}
            payload = {"checks": [check.model_dump() for check in checks], "text": text, "item": context}
            key = text_hash(f"{self._digest}\0{json.dumps(payload, default=str)}")
            limit = (self._config.timeout_s + 10) * len(checks)
            return Job(json.loads(json.dumps(payload, default=str)), key, None, limit, limit)
        return self._judge(checks, text, {}, item)

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """With checks that run in the sandbox."""
        checks = [Constraint.model_validate(check) for check in payload["checks"]]
        return self._judge(checks, payload["text"], payload["item"], None)

    def _judge(
        self, checks: Sequence[Constraint], text: str, context: Mapping[str, Any], item: GradeItem | None
    ) -> Verdict:
        kept: dict[str, float] = {}
        for number, check in enumerate(checks):
            name = check.id if check.id not in kept else f"{check.id}#{number}"
            try:
                kept[name] = float(self._keeps(check, text, context))
            except (TypeError, ValueError, KeyError):
                return ungraded(item, "bad_constraint")
            except ScorerError as error:
                return ungraded(item, error.reason)
        share = sum(kept.values()) / len(kept)
        score = share if self._config.mode == "fraction" else float(share == 1.0)
        reason = "constraints_kept" if share == 1.0 else "constraints_broken"
        verdict = graded(item, score >= self._config.pass_threshold, reason, score=score)
        return Verdict(verdict.key, verdict.outcome, score, reason, None, kept)

    def _keeps(self, check: Constraint, text: str, context: Mapping[str, Any]) -> bool:
        if check.source is not None:
            limits = Limits(seconds=self._config.timeout_s)
            arguments = [text, {**context, **check.kwargs}]
            return run_scorer(check.source, "check", arguments, limits, unsafe=self._config.allow_unsafe) > 0
        test = ifeval.follows_loosely if self._config.strictness == "loose" else ifeval.follows
        return bool(text.strip()) and test(check.id, text, check.kwargs)


def read_checks(gold: str) -> list[Constraint] | None:
    """Constraints given per problem: `{"instruction_id", "kwargs"}`, IFEval's lists, or a list of either."""
    try:
        data = json.loads(gold)
        if isinstance(data, dict) and "instruction_id_list" in data:
            pairs = zip(data["instruction_id_list"], data["kwargs"], strict=True)
            data = [{"id": name, "kwargs": options} for name, options in pairs]
        entries = data if isinstance(data, list) else [data]
        found = [
            Constraint(id=entry.get("id") or entry["instruction_id"], kwargs=entry.get("kwargs") or {})
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if all(check.id.rsplit(":", 1)[-1] in ifeval.CHECKS for check in found) else None
