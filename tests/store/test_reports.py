"""Views and reports on the known experiment, against rows worked out by hand."""

from typing import Any

import pytest

from pipeline.store import RunSummary, StageKey, Store
from tests.store.known_rows import EXPERIMENT, commit_rows, put_round, rationale, verdict


def report(store: Store, name: str) -> list[dict[str, Any]]:
    return store.rows(f"reports/{name}", experiment=EXPERIMENT)


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def second_round(store: Store) -> None:
    """Round 2: p2 is solved without the hint, p1 no longer."""
    put_round(store, 2, status="running")
    commit_rows(store, "generate", 2, {"rationales": [rationale("h1", "p1"), rationale("h2", "p2")]})
    commit_rows(
        store, "verify_generated", 2, {"verdicts": [verdict("h1", "wrong"), verdict("h2", "correct")]}
    )


def test_rounds_summary_counts_problems_and_takes_the_better_style_of_round_0(world: Store) -> None:
    rows = world.rows("rounds_summary", experiment=EXPERIMENT)
    assert columns(
        rows, "round", "eval_accuracy", "eval_low", "eval_high", "eval_problems", "eval_prompt_style"
    ) == [
        (0, 0.5, 0.4, 0.6, 2, "zero_shot"),
        (1, 1.0, 0.9, 1.1, 2, "zero_shot"),
    ]
    expected = {
        "problems": 3,
        "generated": 5,
        "generated_correct": 1,
        "generated_correct_attempts": 2,
        "rationalized": 2,
        "rationalized_correct": 1,
        "imported": 0,
        "cut_off": 1,
        "ungraded": 1,
        "training_rows": 2,
        "rationalized_rows": 1,
        "reused_rows": 0,
        "replay_rows": 0,
        "steps": 4,
        "loss": 0.5,
        "checkpoint_hash": "model-1",
        "dev_accuracy": None,
        "sampled_tokens": 70,
        "seconds": 3.0,
    }
    assert {name: rows[1][name] for name in expected} == expected
    assert {name: rows[0][name] for name in ("problems", "training_rows", "steps")} == {
        "problems": 0,
        "training_rows": 0,
        "steps": None,
    }


def test_current_rationales_show_the_deciding_verdict_and_nothing_superseded(world: Store) -> None:
    second = verdict("g1", "wrong", grader="strict", grader_digest="grader-2", decides=False)
    commit_rows(world, "regrade", 1, {"verdicts": [second]})
    commit_rows(
        world, "rationalize", 1, {"rationales": [rationale("new", "p2", "rationalized")]}, input_digest="2"
    )
    with world.reading() as connection:
        rows = connection.execute(
            "SELECT rationale_id, outcome, grader FROM current_rationales WHERE round = 1 "
            "AND purpose = 'training' ORDER BY 1"
        ).fetchall()
    assert rows == [
        ("g1", "correct", "main"),
        ("g1b", "correct", "main"),
        ("g2", "wrong", "main"),
        ("g3", "wrong", "main"),
        ("g3b", "ungraded", "main"),
        ("new", None, None),
    ]


def test_yield_by_round_counts_add_up_and_shares_are_of_attempts(world: Store) -> None:
    rows = report(world, "yield_by_round")
    assert columns(
        rows,
        "origin",
        "problems",
        "problems_solved",
        "attempts",
        "correct",
        "wrong",
        "ungraded",
        "cut_off",
        "kept",
    ) == [("generated", 3, 1, 5, 2, 2, 1, 1, 1), ("rationalized", 2, 1, 2, 1, 1, 0, 0, 1)]
    assert columns(rows, "correct_share", "kept_share", "mean_tokens") == [(0.4, 0.2, 10.0), (0.5, 0.5, 10.0)]
    for row in rows:
        assert row["attempts"] == row["correct"] + row["wrong"] + row["ungraded"] + row["unverified"]


def test_accuracy_by_round_gains_are_against_the_better_base(world: Store) -> None:
    rows = report(world, "accuracy_by_round")
    assert columns(rows, "round", "prompt_style", "difficulty", "value", "gain") == [
        (0, "few_shot", "all", 0.0, -0.5),
        (0, "zero_shot", "all", 0.5, 0.0),
        (1, "zero_shot", "all", 1.0, 0.5),
        (0, "few_shot", "easy", 0.0, -0.5),
        (0, "zero_shot", "easy", 0.5, 0.0),
        (1, "zero_shot", "easy", 1.0, 0.5),
    ]


def test_rejections_by_reason_with_their_share_of_the_attempts(world: Store) -> None:
    rows = report(world, "rejections")
    assert columns(rows, "round", "reason", "rejections", "problems") == [
        (1, "wrong", 2, 2),
        (1, "cut_off", 1, 1),
        (1, "duplicate", 1, 1),
        (1, "ungraded", 1, 1),
    ]
    assert rows[0]["share_of_attempts"] == pytest.approx(2 / 7)


def test_first_solved_and_forgotten_since(world: Store) -> None:
    second_round(world)
    rows = report(world, "first_solved")
    assert columns(
        rows,
        "problem_id",
        "first_generated",
        "first_rationalized",
        "rounds_attempted",
        "rounds_solved",
        "forgotten",
    ) == [("p1", 1, None, 2, 1, True), ("p2", 2, 1, 2, 1, False), ("p3", None, None, 1, 0, False)]


def test_stage_timings_count_executions_and_rates(world: Store) -> None:
    key = StageKey(EXPERIMENT, 1, "generate")
    world.begin(
        key, shard=0, shards=1, input_digest="inputs-1", host="h", device="cpu", versions={}, force=True
    )
    world.fail(key, shard=0, error="out of memory")
    rows = {(row["round"], row["stage"]): row for row in report(world, "stage_timings")}
    row = rows[(1, "generate")]
    assert (row["executions"], row["failed"], row["seconds"], row["tokens"]) == (2, 1, 2.0, 50)
    assert (row["tokens_per_second"], row["peak_memory_mib"], row["device"]) == (25.0, 100.0, "cpu")
    assert rows[(1, "train")]["tokens_per_second"] is None


def test_stage_timings_rate_what_an_execution_wrote_not_what_it_found_on_disk(world: Store) -> None:
    spent = RunSummary(tokens=80, seconds=4.0, engine_tokens=60, engine_seconds=3.0, peak_gpu_memory=900.0)
    commit_rows(world, "generate", 2, {}, summary=spent)
    row = next(
        row for row in report(world, "stage_timings") if (row["round"], row["stage"]) == (2, "generate")
    )
    assert (row["tokens"], row["tokens_per_second"], row["engine_share"]) == (80, 15.0, 0.75)
    assert row["peak_gpu_memory_mib"] == 900.0


def graded_round(store: Store) -> None:
    """Round 2: three right attempts with sub-scores, two timeouts, a crash and an answer nobody could read."""
    scores = {"leak": 1.0, "equations": 0.0, "style": 0.5, "style.votes": 1.0, "style.calls": 0.0}
    cost = {"style.prompt_tokens": 40.0, "style.completion_tokens": 5.0}
    found = {
        "k1": verdict("k1", "correct", subscores={**scores, **cost}),
        "k2": verdict("k2", "correct", subscores={**scores, **cost, "equations": 1.0}),
        "k3": verdict("k3", "correct", subscores={"leak": 1.0}),
        "k4": verdict("k4", "ungraded", reason="timeout"),
        "k5": verdict("k5", "ungraded", reason="answer_timeout", elapsed_ms=2500.0),
        "k6": verdict("k6", "ungraded", reason="crashed"),
        "k7": verdict("k7", "wrong", reason="program_timeout"),
    }
    put_round(store, 2, status="running")
    attempts = [rationale(name, f"p{1 + n % 3}", sample=n) for n, name in enumerate(found)]
    commit_rows(store, "generate", 2, {"rationales": attempts})
    commit_rows(store, "verify_generated", 2, {"verdicts": list(found.values())})


def test_verdicts_by_round_count_timeouts_crashes_and_the_tokens_of_judges(world: Store) -> None:
    graded_round(world)
    rows = {(row["round"], row["origin"]): row for row in report(world, "verdicts_by_round")}
    assert rows[(2, "generated")] == {
        "round": 2, "origin": "generated", "attempts": 7, "correct": 3, "wrong": 1, "ungraded": 3,
        "timeouts": 2, "crashes": 1, "slowest_ms": 2500.0, "judge_tokens": 90,
        "why_ungraded": "answer_timeout 1, crashed 1, timeout 1",
    }  # fmt: skip
    first = rows[(1, "generated")]
    assert (first["attempts"], first["correct"], first["wrong"], first["ungraded"]) == (5, 2, 2, 1)
    assert (first["timeouts"], first["judge_tokens"]) == (0, 0)


def test_quality_by_round_is_the_share_of_right_attempts_that_a_part_flags(world: Store) -> None:
    graded_round(world)
    rows = [row for row in report(world, "quality_by_round") if row["round"] == 2]
    assert columns(rows, "origin", "subscore", "attempts", "flagged", "rate") == [
        ("generated", "equations", 2, 1, 0.5),
        ("generated", "leak", 3, 0, 0.0),
        ("generated", "style", 2, 0, 0.0),
    ]


def test_sampling_stops_by_reason_with_what_a_correct_rationale_cost(world: Store) -> None:
    rows = [row for row in report(world, "sampling_stops") if row["difficulty"] == "all"]
    assert columns(
        rows, "reason", "problems", "solved", "samples", "correct", "tokens", "tokens_per_correct"
    ) == [
        ("any", 3, 1, 5, 1, 50, 50.0),
        ("hopeless", 1, 0, 1, 0, 10, None),
        ("samples", 2, 1, 4, 1, 40, 40.0),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "yield_by_round", "accuracy_by_round", "rejections", "first_solved", "stage_timings", "verdicts_by_round",
        "quality_by_round", "training_variants", "held_out_loss",
    ],
)  # fmt: skip
def test_report_of_an_experiment_without_rows_is_empty(store: Store, name: str) -> None:
    assert report(store, name) == []


def test_summary_of_a_shard_run_twice_counts_the_time_of_both(world: Store) -> None:
    commit_rows(world, "generate", 1, {}, input_digest="other", summary=RunSummary(seconds=5.0))
    row = world.rows("rounds_summary", experiment=EXPERIMENT)[1]
    assert row["seconds"] == 8.0
