"""`multi`: several graders and a formula. Cheap ones first; a zero factor stops the rest.

A grader that the formula does not name is run and its score kept: it marks, and excludes nothing. Where it
fails there is no score to keep, and the verdict stands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.config.graders import MultiGrader
from pipeline.errors import ConfigError
from pipeline.graders.formula import Formula
from pipeline.graders.protocol import Grader, Job, graded, ungraded
from pipeline.identity import canonical_json, text_hash
from pipeline.records import GradeItem, Outcome, Verdict


class Multi:
    """Grader of `type: multi`."""

    def __init__(self, config: MultiGrader, parts: Mapping[str, Grader], digest: str) -> None:
        self._config = config
        self._parts = dict(parts)
        self._digest = digest
        self.formula = Formula(config.calculate_output, frozenset(parts))
        self._check_judges()
        self.backlog = min(part.backlog for part in parts.values())
        self.memory_mb = max(part.memory_mb for part in parts.values())
        self.environment = tuple(sorted({name for part in parts.values() for name in part.environment}))

    def _check_judges(self) -> None:
        judges = self._config.judges
        if not judges or any(getattr(self._config.graders[name], "alone", False) for name in judges):
            return
        only = {name: float(name in judges) for name in self._parts}
        if (self.formula.value(only) or 0.0) >= self._config.pass_threshold:
            raise ConfigError(
                f"grader {self._config.name!r}: {', '.join(judges)} alone can reach pass_threshold "
                f"{self._config.pass_threshold} in {self._config.calculate_output!r}; multiply by a grader "
                "that checks the answer, or set alone: true on the judge"
            )

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Every part that is cheap; the rest in a worker, unless a factor is already 0."""
        verdicts: dict[str, Verdict] = {}
        jobs: dict[str, Job] = {}
        for name, part in self._parts.items():
            found = part.inline(item)
            if isinstance(found, Job):
                jobs[name] = found
            else:
                verdicts[name] = found
        if not jobs or self._is_zero(verdicts):
            return self._combine(verdicts, item)
        done = {
            name: [verdict.outcome.value, verdict.score, verdict.reason, verdict.answer]
            for name, verdict in verdicts.items()
        }
        quickest = sorted(jobs.items(), key=lambda entry: entry[1].limit_s)
        payload = {"done": done, "jobs": {name: dict(job.payload) for name, job in quickest}, "answer": None}
        keys = [job.cache_key for job in jobs.values()]
        key = text_hash(canonical_json([self._digest, done, keys])) if all(keys) else ""
        limit = sum(job.limit_s for job in jobs.values())
        wall = sum(job.wall_s or 10 * job.limit_s for job in jobs.values())
        return Job(payload, key, self._answer(verdicts), limit, wall)

    def warm(self) -> None:
        """Warm the parts."""
        for part in self._parts.values():
            warm = getattr(part, "warm", None)
            if warm is not None:
                warm()

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """The slow parts, those with the lowest limit first, until a factor is 0."""
        verdicts = {
            name: Verdict("", Outcome(outcome), score, reason, answer)
            for name, (outcome, score, reason, answer) in payload["done"].items()
        }
        for name, job in payload["jobs"].items():
            verdicts[name] = self._parts[name].work(job)
            if self._is_zero(verdicts):
                break
        return self._combine(verdicts, None)

    def _is_zero(self, verdicts: Mapping[str, Verdict]) -> bool:
        return any(
            verdict.score == 0 and verdict.outcome is not Outcome.UNGRADED
            for name, verdict in verdicts.items()
            if name in self.formula.factors
        )

    def _combine(self, verdicts: Mapping[str, Verdict], item: GradeItem | None) -> Verdict:
        scores: dict[str, float] = {}
        for name, verdict in verdicts.items():
            if verdict.outcome is not Outcome.UNGRADED:  # a grader that failed has given no score
                scores[name] = verdict.score
            scores.update({f"{name}.{key}": score for key, score in verdict.subscores.items()})
        answer = self._answer(verdicts)
        failed = [name for name in verdicts if name in self.formula.names and name not in scores]
        if self._is_zero(verdicts):
            zero = next(
                name for name in verdicts if name in self.formula.factors and verdicts[name].score == 0
            )
            verdict = graded(item, False, f"{zero}_{verdicts[zero].reason}", answer)
        elif failed:
            verdict = ungraded(item, f"{failed[0]}_{verdicts[failed[0]].reason}", answer)
        elif (output := self.formula.value(scores)) is None:
            verdict = ungraded(item, "formula_undefined", answer)
        else:
            score = min(1.0, max(0.0, output))
            passed = output >= self._config.pass_threshold
            verdict = graded(item, passed, "score" if passed else "score_too_low", answer, score)
        return dataclasses.replace(verdict, subscores=scores)

    @staticmethod
    def _answer(verdicts: Mapping[str, Verdict]) -> str | None:
        return next((verdict.answer for verdict in verdicts.values() if verdict.answer is not None), None)
