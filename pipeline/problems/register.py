"""Ids and questions seen so far, so that repeats and contradictions among source rows are found."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.identity import canonical_json, norm_hash, text_hash
from pipeline.problems.bad_rows import BadRowError, shorten
from pipeline.records import Problem, Split


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a question was met first, and with which answer."""

    place: str
    split: Split
    answer: str


class Register:
    """Every problem accepted so far, by id and by question within its split."""

    def __init__(self) -> None:
        self._ids: dict[str, Seen] = {}
        self._questions: dict[str, Seen] = {}

    def accept(self, problem: Problem, place: str, *, given_id: bool) -> str | None:
        """Note `problem`, found at `place` ("train.jsonl line 3").

        Returns None, or, for a harmless exact repeat that is to be left out, which row it repeats.
        `given_id`: the source names its problems, so that the same id means a mistake; else the id is a hash
        of the content. A train problem whose hash is that of a dev or eval problem is accepted:
        decontamination takes it out. Raises BadRowError for an id twice, or for a question that has another
        answer elsewhere in its split.
        """
        seen = Seen(place, problem.split, problem.choices.get(problem.answer, problem.answer))
        twin = self._ids.get(problem.problem_id)
        if twin is not None and given_id:
            raise BadRowError(
                "duplicate_id",
                f"problem_id {problem.problem_id!r} is taken by {twin.place}; expected ids unique over all "
                "sources (without fields.problem_id, ids are hashes of the content)",
            )
        if twin is not None and (twin.split is problem.split or problem.split is not Split.TRAIN):
            return f"the same problem as {twin.place}"
        key = self._question_key(problem)
        earlier = self._questions.get(key)
        if earlier is not None:
            if norm_hash(earlier.answer) != norm_hash(seen.answer):
                raise BadRowError(
                    "conflicting_answer",
                    f"answer {shorten(seen.answer)} differs from {shorten(earlier.answer)} given to the "
                    f"same question by {earlier.place}; expected one answer",
                )
            if problem.split is Split.TRAIN:
                return f"the same question and answer as {earlier.place}"
        self._ids.setdefault(problem.problem_id, seen)
        self._questions.setdefault(key, seen)
        return None

    @staticmethod
    def _question_key(problem: Problem) -> str:
        """Equal for questions that differ in case, spaces or the order of their choices only."""
        texts = sorted(norm_hash(text) for text in problem.choices.values())
        return text_hash(canonical_json([problem.split, norm_hash(problem.question), texts]))
