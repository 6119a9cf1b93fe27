"""Grading again: which verdicts flip, what would have been trained on, and nothing else changes."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from pipeline.config.graders import GraderConfig
from pipeline.errors import ConfigError, NotReadyError
from pipeline.regrade import regrade
from tests.stages.conftest import Lab, lab, right, text_base  # noqa: F401

LENIENT = {"type": "string_check", "name": "lenient", "operation": "like"}


def grader(**fields: object) -> GraderConfig:
    return TypeAdapter(GraderConfig).validate_python(fields)


def test_regrade_flips_are_listed_with_both_reasons_and_the_training_set_they_would_give(lab: Lab) -> None:  # noqa: F811
    lab.says("p1", [right(2)])
    lab.says("p3", ["It is 6, I think."])  # no answer line
    lab.run("rationalize.enabled=false", until="select")
    rounds = list(regrade(lab.session(["rationalize.enabled=false"]), grader(**LENIENT), 1))
    assert len(rounds) == 1
    flips = {(flip.problem_id, flip.before, flip.after) for flip in rounds[0].flips}
    assert ("p3", "wrong", "correct") in flips
    assert ("p1", "wrong", "correct") not in flips
    assert all(flip.before_reason and flip.after_reason for flip in rounds[0].flips)
    gained = {flip.problem_id for flip in rounds[0].flips if flip.after == "correct"}
    assert (rounds[0].gained, rounds[0].lost) == (len(gained), 0)
    assert rounds[0].kept == 1 + len(gained)


def test_regrade_stores_verdicts_that_decide_nothing_and_again_replaces_them(lab: Lab) -> None:  # noqa: F811
    lab.says("p3", ["It is 6, I think."])
    lab.run(until="select")
    before = lab.rows("select count(*) from training_rows")
    for _ in range(2):
        list(regrade(lab.session(), grader(**LENIENT)))
    counts = lab.rows(
        "select decides, count(*) from verdicts where grader = 'lenient' and not superseded group by 1"
    )
    attempts = lab.rows("select count(*) from rationales where not superseded")
    assert counts == [(False, attempts[0][0])]
    assert lab.rows("select count(*) from training_rows") == before
    lab.run(until="select")  # what was done is still done
    assert lab.rows("select count(*) from stage_runs where stage = 'select'") == [(1,)]


def test_regrade_by_the_same_grader_is_refused(lab: Lab) -> None:  # noqa: F811
    lab.run(until="verify_generated")
    session = lab.session()
    with pytest.raises(ConfigError, match="are the same"):
        list(regrade(session, session.config.verify.grader))


def test_regrade_of_a_round_that_is_not_there_names_those_that_are(lab: Lab) -> None:  # noqa: F811
    lab.run(until="verify_generated")
    with pytest.raises(NotReadyError, match=r"has no round 7; it has \[0, 1\]"):
        list(regrade(lab.session(), grader(**LENIENT), 7))
