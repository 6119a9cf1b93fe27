"""Every check is silent where all is in order, and returns exactly the row that was spoilt."""

from typing import Any

import pytest

from pipeline.store import RunSummary, Store
from pipeline.store.checks import CHECKS, run_checks
from tests.store.known_rows import (
    EXPERIMENT,
    commit_rows,
    evaluation,
    put_round,
    rationale,
    training_row,
    verdict,
)


def offences(store: Store, round_: int | None = None) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for offence in run_checks(store, EXPERIMENT, round_):
        found.setdefault(offence.check, []).append(offence.row)
    return found


def spoil(store: Store, statement: str) -> None:
    with store.transaction() as connection:
        connection.execute(statement)


def test_checks_world_in_order_gives_no_offence(world: Store) -> None:
    assert len(CHECKS) >= 12
    assert offences(world) == {}
    assert offences(world, 1) == {}


def test_checks_superseded_rows_do_not_offend(world: Store) -> None:
    row = training_row("g2", "e1", "generated", 1, prompt_hash="other", labels=[1])
    commit_rows(world, "select", 1, {"training_rows": [row]}, input_digest="worse")
    assert "held_out_problem_in_training" in offences(world)
    spoil(world, "UPDATE training_rows SET superseded = true WHERE rationale_id = 'g2' AND stage = 'select'")
    found = offences(world)
    assert not {"held_out_problem_in_training", "training_prompt_not_canonical"} & set(found)


SPOILS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "kept_counts_wrong",
        "UPDATE counted_attempts SET correct = correct + 1, wrong = wrong - 1 "
        "WHERE round = 1 AND origin = 'generated'",
        {"round": 1},
    ),
    (
        "kept_counts_wrong",
        "DELETE FROM counted_fates WHERE round = 1 AND fate = 'kept'",
        {"round": 1},
    ),
    (
        "training_row_without_correct_verdict",
        "UPDATE verdicts SET outcome = 'wrong' WHERE rationale_id = 'g1'",
        {"rationale_id": "g1", "outcome": "wrong"},
    ),
    (
        "training_row_without_correct_verdict",
        "UPDATE verdicts SET grader_digest = 'stricter' WHERE rationale_id = 'r2'",
        {"rationale_id": "r2", "outcome": None},
    ),
    (
        "training_prompt_not_canonical",
        "UPDATE training_rows SET prompt_hash = 'prompt-h2' WHERE rationale_id = 'r2'",
        {"rationale_id": "r2", "prompt_hash": "prompt-h2", "canonical_prompt_hash": "prompt-p2"},
    ),
    (
        "training_row_tokens_wrong",
        "UPDATE training_rows SET labels = [5, 6, 2] WHERE rationale_id = 'g1'",
        {"rationale_id": "g1", "first_label": 5},
    ),
    (
        "training_row_tokens_wrong",
        "UPDATE training_rows SET labels = [-100, 6, -100] WHERE rationale_id = 'g1'",
        {"rationale_id": "g1", "last_label": -100, "last_id": 2},
    ),
    (
        "held_out_problem_in_training",
        "UPDATE problems SET split = 'dev' WHERE problem_id = 'p1'",
        {"problem_id": "p1", "split": "dev"},
    ),
    (
        "held_out_problem_in_training",
        "UPDATE problems SET exemplar = true WHERE problem_id = 'p2'",
        {"problem_id": "p2", "exemplar": True},
    ),
    (
        "checkpoint_parent_wrong",
        "UPDATE checkpoints SET parent_hash = 'model-0'",
        {"parent_hash": "model-0", "expected_parent_hash": "base-hash"},
    ),
    (
        "checkpoint_parent_wrong",
        "UPDATE experiments SET base_hash = 'other'",
        {"base_hash": "base-hash", "recorded_base_hash": "other"},
    ),
    ("checkpoint_rows_wrong", "UPDATE checkpoints SET rows = 3", {"rows": 3, "present": 2}),
    (
        "checkpoint_rows_wrong",
        "UPDATE training_rows SET training_set_digest = 'set-2' WHERE rationale_id = 'r2'",
        {"first_digest": "set-1", "last_digest": "set-2"},
    ),
    (
        "duplicate_keys",
        "INSERT INTO checkpoints SELECT * FROM checkpoints",
        {"table_name": "checkpoints", "row_key": "1 main", "rows": 2},
    ),
    (
        "duplicate_keys",
        "INSERT INTO evaluations SELECT * FROM evaluations WHERE round = 1 AND difficulty IS NULL",
        {"table_name": "evaluations", "row_key": "1 eval accuracy zero_shot all grader-1", "rows": 2},
    ),
    (
        "attempt_not_accounted_for",
        "DELETE FROM rejections WHERE rationale_id = 'g2'",
        {"rationale_id": "g2", "kept": 0, "rejections": 0},
    ),
    (
        "attempt_not_accounted_for",
        "UPDATE rejections SET rationale_id = 'g1' WHERE rationale_id = 'g1b'",
        {"rationale_id": "g1", "kept": 1, "rejections": 1, "reasons": ["duplicate"]},
    ),
    (
        "stage_counts_do_not_add_up",
        "DELETE FROM rationales WHERE rationale_id = 'r3'",
        {"stage": "rationalize", "asked": 2, "written": 2, "attempts": 1, "rejections": 0},
    ),
    (
        "sampling_stops_do_not_add_up",
        "UPDATE sampling_stops SET samples = 3 WHERE problem_id = 'p1'",
        {"problem_id": "p1", "reason": "samples", "samples": 3, "attempts": 2},
    ),
    (
        "sampling_stops_do_not_add_up",
        "DELETE FROM sampling_stops WHERE problem_id = 'p2'",
        {"problem_id": "p2", "reason": None, "samples": 0, "attempts": 1},
    ),
    (
        "rows_differ_from_commits",
        "DELETE FROM commits WHERE stage = 'verify_generated'",
        {"table_name": "verdicts", "stage": "verify_generated", "present": 5, "committed": 0},
    ),
    (
        "rows_differ_from_commits",
        "DELETE FROM verdicts WHERE rationale_id = 'g3'",
        {"table_name": "verdicts", "present": 4, "committed": 5},
    ),
    (
        "verdict_missing",
        "DELETE FROM verdicts WHERE rationale_id = 'r3'",
        {"rationale_id": "r3", "stage": "rationalize"},
    ),
    ("prompt_missing", "DELETE FROM prompts WHERE prompt_hash = 'prompt-h3'", {"rationale_id": "r3"}),
]


@pytest.mark.parametrize(("check", "statement", "expected"), SPOILS)
def test_check_spoilt_row_is_the_one_returned(
    world: Store, check: str, statement: str, expected: dict[str, Any]
) -> None:
    spoil(world, statement)
    rows = world.rows(f"checks/{check}", experiment=EXPERIMENT, round=None)
    assert any(expected.items() <= row.items() for row in rows), rows
    round_ = rows[0]["round"]
    assert world.rows(f"checks/{check}", experiment=EXPERIMENT, round=round_) == rows
    assert world.rows(f"checks/{check}", experiment=EXPERIMENT, round=7) == []
    assert world.rows(f"checks/{check}", experiment="another", round=None) == []


def test_checks_every_check_is_spoilt_by_a_test() -> None:
    assert {check for check, _, _ in SPOILS} == set(CHECKS)


def test_check_unfiltered_round_may_train_on_wrong_attempts(world: Store) -> None:
    spoil(world, "UPDATE verdicts SET outcome = 'wrong' WHERE rationale_id = 'g1'")
    put_round(world, 1, config={"select": {"filter": "none"}, "train": {"start": "base"}})
    assert "training_row_without_correct_verdict" not in offences(world)


def test_check_rows_reused_from_an_earlier_round_stand_on_its_verdicts(world: Store) -> None:
    put_round(world, 2)
    rows = [training_row("g1", "p1", "generated", 1, training_set_digest="set-2")]
    commit_rows(world, "select", 2, {"training_rows": rows})
    assert offences(world, 2) == {}
    spoil(world, "UPDATE verdicts SET outcome = 'wrong' WHERE rationale_id = 'g1'")
    assert set(offences(world, 2)) == {"training_row_without_correct_verdict"}


def test_check_parent_of_a_round_that_goes_on_from_the_previous_model(world: Store) -> None:
    put_round(world, 2, config={"select": {"filter": "verified"}, "train": {"start": "previous"}})
    rows = [training_row("g1", "p1", "generated", 1, training_set_digest="set-2")]
    commit_rows(world, "select", 2, {"training_rows": rows})
    checkpoint = {
        "variant": "main",
        "path": "x",
        "content_hash": "model-2",
        "parent_hash": "model-1",
        "base_hash": "base-hash",
        "training_set_digest": "set-2",
        "rows": 1,
        "steps": 1,
    }
    commit_rows(world, "train", 2, {"checkpoints": [checkpoint]})
    assert offences(world) == {}
    commit_rows(world, "train", 2, {"checkpoints": [{**checkpoint, "parent_hash": "base-hash"}]})
    (row,) = offences(world)["checkpoint_parent_wrong"]
    assert (row["round"], row["expected_parent_hash"]) == (2, "model-1")


def test_check_attempts_without_verdicts_are_fine_until_their_stage_is_done(world: Store) -> None:
    put_round(world, 2)
    attempts = [rationale("g9", "p1")]
    summary = RunSummary(rows_in=2, rows_out=1)
    too_long = {"rationale_id": None, "problem_id": "p3", "reason": "prompt_too_long"}
    commit_rows(world, "generate", 2, {"rationales": attempts, "rejections": [too_long]}, summary=summary)
    assert offences(world) == {}
    commit_rows(world, "verify_generated", 2, {"verdicts": []})
    assert set(offences(world)) == {"verdict_missing"}
    commit_rows(world, "verify_generated", 2, {"verdicts": [verdict("g9", "wrong")]})
    assert offences(world) == {}


def test_check_opinion_of_another_grader_does_not_offend(world: Store) -> None:
    second = verdict("g1", "wrong", grader="strict", grader_digest="grader-2", decides=False)
    commit_rows(world, "regrade", 1, {"verdicts": [second]})
    assert offences(world) == {}


def test_check_metrics_and_styles_are_keys_of_their_own(world: Store) -> None:
    rows = [
        evaluation("dev", 0.5),
        evaluation("dev", 0.5, metric="pass@2", k=2),
        evaluation("dev", 0.5, difficulty="x"),
    ]
    commit_rows(world, "verify_evaluated", 5, {"evaluations": rows})
    assert offences(world, 5) == {}
