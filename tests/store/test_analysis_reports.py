"""Reports on what was solved, how texts differ, what graders said and what it cost, against rows worked out by hand."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.site import NO_PRICES, PricesSite
from pipeline.paths import Home
from pipeline.store import RunSummary, Store
from tests.store.known_rows import (
    BASE,
    EXPERIMENT,
    commit_rows,
    evaluation,
    put_round,
    rationale,
    training_row,
    verdict,
)

MODEL = {"model_hash": "model-1"}


@pytest.fixture(scope="module")
def rounds_home(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("rounds") / "home"
    shutil.copytree(world_home, home)
    commit_second_round(Store(Home(home)))
    return home


@pytest.fixture
def rounds(rounds_home: Path, tmp_path: Path) -> Store:
    """The known experiment with the round 2 of `commit_second_round`."""
    shutil.copytree(rounds_home, tmp_path / "home")
    return Store(Home(tmp_path / "home"))


def commit_second_round(world: Store) -> None:
    """Round 2 of the known experiment, written by the model of round 1.

    p1 fails with the text that solved it in round 1; p2, solved by the hint before, is solved twice with one text;
    p3 is solved by the hint. The row of p2 is trained on, and that of p1 of round 1 once more.
    """
    put_round(world, 2)
    attempts = [
        rationale("h1", "p1", norm_hash="norm-g1", completion_tokens=30, **MODEL),
        rationale("h1b", "p1", sample=1, completion_tokens=10, **MODEL),
        rationale("h2", "p2", completion_tokens=20, **MODEL),
        rationale("h2b", "p2", sample=1, norm_hash="norm-h2", completion_tokens=20, **MODEL),
    ]
    spent = RunSummary(rows_in=4, rows_out=4, tokens=80, seconds=3600.0, device="NVIDIA H100")
    commit_rows(world, "generate", 2, {"rationales": attempts}, summary=spent)
    outcomes = {"h1": "wrong", "h1b": "ungraded", "h2": "correct", "h2b": "correct"}
    verdicts = [verdict(name, outcome, elapsed_ms=4.0) for name, outcome in outcomes.items()]
    verdicts[1] |= {"reason": "timeout", "elapsed_ms": 5000.0}
    commit_rows(world, "verify_generated", 2, {"verdicts": verdicts})
    hinted = rationale("s3", "p3", "rationalized", prompt_style="hinted", hint="(7)", completion_tokens=40)
    commit_rows(world, "rationalize", 2, {"rationales": [hinted]}, summary=RunSummary(1, 1, 40, 1800.0))
    commit_rows(world, "verify_rationalized", 2, {"verdicts": [verdict("s3", "correct", elapsed_ms=4.0)]})
    rows = [
        training_row("h2", "p2", "generated", 2),
        training_row("s3", "p3", "rationalized", 2),
        training_row("g1", "p1", "generated", 1),
    ]
    rejections = [
        {"rationale_id": key, "problem_id": problem, "reason": reason}
        for key, problem, reason in (
            ("h1", "p1", "wrong"),
            ("h1b", "p1", "ungraded"),
            ("h2b", "p2", "duplicate"),
        )
    ]
    commit_rows(world, "select", 2, {"training_rows": rows, "rejections": rejections})
    trained = {
        "variant": "main",
        "path": "experiments/sums/round-002/checkpoints/main",
        "content_hash": "model-2",
        "parent_hash": BASE,
        "base_hash": BASE,
        "training_set_digest": "set-1",
        "rows": 3,
        "steps": 6,
        "tokens": 900,
    }
    commit_rows(world, "train", 2, {"checkpoints": [trained]}, summary=RunSummary(seconds=36.0, device="cpu"))
    commit_rows(world, "verify_evaluated", 2, {"evaluations": [evaluation("eval", 0.75)]})


def report(store: Store, name: str, **parameters: Any) -> list[dict[str, Any]]:
    return store.rows(f"reports/{name}", experiment=EXPERIMENT, **parameters)


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_solved_by_round_tells_first_again_and_forgotten(rounds: Store) -> None:
    names = (
        "round",
        "attempted",
        "solved",
        "first_solved",
        "solved_again",
        "forgotten",
        "forgotten_since",
        "first_by_hint",
        "solved_so_far",
    )
    assert columns(report(rounds, "solved_by_round"), *names) == [
        (1, 3, 1, 1, 0, 0, 1, 1, 1),  # p1, which round 2 fails; p2 by the hint
        (2, 2, 1, 1, 0, 1, 0, 1, 2),  # p2; p1 forgotten; p3 by the hint
    ]


def test_generated_against_rationalized_tells_cost_and_what_the_hint_led_to(rounds: Store) -> None:
    rows = report(rounds, "generated_against_rationalized")
    solved = ("problems", "generated_solved", "rationalized", "rationalized_solved", "generated_rows")
    assert columns(rows, *solved, "rationalized_rows") == [(3, 1, 2, 1, 1, 1), (2, 1, 1, 1, 1, 1)]
    assert columns(rows, "generated_tokens_per_row", "rationalized_tokens_per_row") == [(50, 20), (80, 40)]
    assert columns(rows, "generated_length", "rationalized_length") == [(10, 10), (20, 40)]
    # p2, solved by the hint alone in round 1, was tried and solved without it in round 2; p3 came too late.
    assert columns(rows, "only_by_hint", "tried_later", "learned") == [(1, 1, 1), (1, 0, 0)]


def test_pass_and_majority_at_k_of_train_samples_follow_from_the_verdicts(rounds: Store) -> None:
    rows = [row for row in report(rounds, "pass_and_majority_at_k") if row["difficulty"] == "all"]
    assert columns(rows, "round", "split", "metric", "problems", "samples") == [
        (1, "train", "pass@1", 3, 1),  # p2 has one sample, so one is the most that all have
        (2, "train", "pass@1", 2, 2),
        (2, "train", "pass@2", 2, 2),
        (2, "train", "maj@2", 2, 2),
    ]
    values = [row["value"] for row in rows]
    # Round 1: p1 two of two, p2 none of one, p3 none of two. Round 2: p1 none, p2 both; no answer was parsed.
    assert values == pytest.approx([1 / 3, 0.5, 0.5, 0.0])


def test_majority_of_train_samples_takes_the_most_frequent_answer_and_the_first_of_equals(
    store: Store,
) -> None:
    answers = {
        "p1": ["7", "8", "8"],
        "p2": ["7", "8", "9"],
        "p3": [None, None, "7"],
        "p4": [None, None, None],
    }
    put_round(store, 1)
    attempts = [
        rationale(f"{problem}-{sample}", problem, sample=sample)
        for problem, given in answers.items()
        for sample in range(len(given))
    ]
    verdicts = [
        verdict(f"{problem}-{sample}", "correct" if answer == "7" else "wrong", answer=answer)
        for problem, given in answers.items()
        for sample, answer in enumerate(given)
    ]
    commit_rows(store, "generate", 1, {"rationales": attempts})
    commit_rows(store, "verify_generated", 1, {"verdicts": verdicts})
    rows = [row for row in report(store, "pass_and_majority_at_k") if row["difficulty"] == "all"]
    # Votes: p1 for 8, p2 for the first, p3 for the only answer, p4 for none.
    assert columns(rows, "metric", "k") == [("pass@1", 1), ("pass@2", 2), ("maj@3", 3)]
    assert [row["value"] for row in rows] == pytest.approx([3 / 12, (2 / 3 + 2 / 3 + 2 / 3 + 0) / 4, 2 / 4])


def test_pass_at_1_of_train_is_not_raised_by_sampling_that_stops_at_a_success(store: Store) -> None:
    drawn = {"p1": ["correct"], "p2": ["wrong", "correct"], "p3": ["wrong"] * 3 + ["correct"]}
    named = [
        (f"{name}-{sample}", outcome) for name, each in drawn.items() for sample, outcome in enumerate(each)
    ]
    put_round(store, 1)
    attempts = [rationale(name, name[:2], sample=int(name[3:])) for name, _ in named]
    commit_rows(store, "generate", 1, {"rationales": attempts})
    commit_rows(store, "verify_generated", 1, {"verdicts": [verdict(*each) for each in named]})
    rows = [row for row in report(store, "pass_and_majority_at_k") if row["difficulty"] == "all"]
    assert columns(rows, "metric", "problems") == [("pass@1", 3)]
    # The first sample of each; all samples would say (1 + 1/2 + 1/4) / 3.
    assert rows[0]["value"] == pytest.approx(1 / 3)


def test_measured_pass_at_k_is_shown_as_the_round_recorded_it(world: Store) -> None:
    measured = evaluation("dev", 0.625, metric="pass@4", samples=8, k=4)
    commit_rows(world, "verify_evaluated", 1, {"evaluations": [measured]}, input_digest="2")
    row = next(row for row in report(world, "pass_and_majority_at_k") if row["split"] == "dev")
    assert (row["metric"], row["k"], row["samples"], row["value"], row["low"]) == (
        "pass@4",
        4,
        8,
        0.625,
        0.525,
    )


def test_lengths_by_round_are_those_of_each_outcome(rounds: Store) -> None:
    rows = [
        row for row in report(rounds, "lengths_by_round") if (row["round"], row["purpose"]) == (2, "training")
    ]
    names = (
        "origin",
        "outcome",
        "attempts",
        "kept",
        "mean_tokens",
        "median_tokens",
        "most_tokens",
        "total_tokens",
    )
    assert columns(rows, *names) == [
        ("generated", "correct", 2, 1, 20.0, 20.0, 20, 40),
        ("generated", "ungraded", 1, 0, 10.0, 10.0, 10, 10),
        ("generated", "wrong", 1, 0, 30.0, 30.0, 30, 30),
        ("rationalized", "correct", 1, 1, 40.0, 40.0, 40, 40),
    ]


def test_diversity_by_round_counts_repeats_and_texts_of_earlier_rounds(rounds: Store) -> None:
    rows = report(rounds, "diversity_by_round")
    names = ("round", "origin", "attempts", "distinct_texts", "repeats", "seen_before")
    assert columns(rows, *names) == [
        (1, "generated", 5, 5, 0, 0),
        (1, "rationalized", 2, 2, 0, 0),
        (2, "generated", 4, 3, 1, 1),
        (2, "rationalized", 1, 1, 0, 0),
    ]
    correct = ("correct", "distinct_correct", "correct_repeats", "texts_per_problem", "several", "collapsed")
    assert columns(rows, *correct) == [
        (2, 2, 0, 2.0, 1, 0),
        (1, 1, 0, 1.0, 0, 0),
        (2, 1, 1, 1.0, 1, 1),
        (1, 1, 0, 1.0, 0, 0),
    ]


def test_diversity_by_problem_counts_over_all_rounds(rounds: Store) -> None:
    names = ("problem_id", "rounds", "attempts", "distinct_texts", "correct", "distinct_correct", "rows")
    assert columns(report(rounds, "diversity_by_problem"), *names) == [
        ("p1", 2, 4, 3, 2, 2, 1),
        ("p2", 2, 4, 3, 3, 2, 2),
        ("p3", 2, 4, 4, 1, 1, 1),
    ]


def test_cut_off_by_round_gives_every_end_and_the_share_cut_off(rounds: Store) -> None:
    rows = [row for row in report(rounds, "cut_off_by_round") if row["round"] == 1]
    assert columns(rows, "purpose", "origin", "attempts", "eos", "cut_off", "cut_off_share") == [
        ("training", "generated", 5, 4, 1, 0.2),
        ("training", "rationalized", 2, 2, 0, 0.0),
        ("greedy", "evaluated", 2, 2, 0, 0.0),
    ]


def test_verdict_reasons_show_timeouts_and_what_verdicts_took(rounds: Store) -> None:
    rows = [row for row in report(rounds, "verdict_reasons") if row["round"] == 2]
    names = ("stage", "outcome", "reason", "verdicts", "share", "mean_ms", "longest_ms")
    assert columns(rows, *names) == [
        ("verify_generated", "correct", "exact", 2, 0.5, 4.0, 4.0),
        ("verify_generated", "ungraded", "timeout", 1, 0.25, 5000.0, 5000.0),
        ("verify_generated", "wrong", "exact", 1, 0.25, 4.0, 4.0),
        ("verify_rationalized", "correct", "exact", 1, 1.0, 4.0, 4.0),
    ]


def test_grader_disagreement_pairs_the_verdicts_of_one_attempt(rounds: Store) -> None:
    assert report(rounds, "grader_disagreement") == []
    strict = {"grader": "strict", "grader_digest": "grader-2", "decides": False}
    opinions = {"h1": "wrong", "h2": "wrong", "h2b": "correct", "h1b": "ungraded"}
    commit_rows(
        rounds, "regrade", 2, {"verdicts": [verdict(name, said, **strict) for name, said in opinions.items()]}
    )
    rows = report(rounds, "grader_disagreement")
    assert columns(rows, "round", "grader", "outcome", "other_outcome", "disagree", "attempts", "share") == [
        (2, "strict", "correct", "wrong", True, 1, 0.25),
        (2, "strict", "correct", "correct", False, 1, 0.25),
        (2, "strict", "ungraded", "ungraded", False, 1, 0.25),
        (2, "strict", "wrong", "wrong", False, 1, 0.25),
    ]
    assert rows[0]["example"] == "h2"


def test_cost_by_round_prices_gpu_time_tokens_and_points(rounds: Store) -> None:
    rows = report(rounds, "cost_by_round", **PricesSite(gpu_hour=2.5).parameters)
    tokens = ("round", "sampled_tokens", "evaluated_tokens", "trained_tokens", "kept", "tokens_per_kept")
    assert columns(rows, *tokens) == [
        (0, 0, 40, 0, 0, None),
        (1, 70, 20, 0, 2, 35.0),
        (2, 120, 0, 900, 2, 60.0),
    ]
    # Round 1 ran on the CPU. Of round 2 the hour of generate was on a GPU; rationalize had "cpu", as train had.
    assert columns(rows, "seconds", "gpu_hours", "money") == [(0, 0, 0), (3, 0, 0), (5436, 1, 2.5)]
    assert columns(rows, "accuracy", "points", "sampled_so_far") == [
        (0.5, 0, 0),
        (1.0, 50, 70),
        (0.75, 25, 190),
    ]
    assert columns(rows, "tokens_per_point", "money_per_point") == [(None, None), (1.4, 0.0), (7.6, 0.1)]


def test_cost_by_round_counts_every_gpu_a_model_is_split_over_and_no_price_no_money(rounds: Store) -> None:
    put_round(rounds, 2, config={"engine": {"tensor_parallel": 4}})
    row = report(rounds, "cost_by_round", **NO_PRICES)[2]
    assert (row["gpu_hours"], row["money"], row["money_per_point"]) == (4, None, None)


def test_training_lineage_leads_from_a_row_to_attempt_prompt_seed_and_model(rounds: Store) -> None:
    rows = report(rounds, "training_lineage", round=2)
    names = ("rationale_id", "from_round", "reused", "writer_hash", "writer_round", "seed", "checkpoint_hash")
    assert columns(rows, *names) == [
        ("g1", 1, True, BASE, 0, 1, "model-2"),
        ("h2", 2, False, "model-1", 1, 1, "model-2"),
        ("s3", 2, False, BASE, 0, 1, "model-2"),
    ]
    assert columns(rows, "hint", "sent", "prompt")[0] == (None, "question of p1", "question of p1")
    assert rows[2]["hint"] == "(7)"


def test_training_lineage_names_an_attempt_that_was_made_again_once(rounds: Store) -> None:
    again = [rationale("h2", "p2", completion_tokens=20, **MODEL)]
    commit_rows(rounds, "generate", 2, {"rationales": again}, force=True)
    assert [row["rationale_id"] for row in report(rounds, "training_lineage", round=2)] == ["g1", "h2", "s3"]


def test_checkpoint_lineage_leads_to_the_rows_and_the_base(rounds: Store) -> None:
    rows = report(rounds, "checkpoint_lineage")
    names = (
        "round",
        "content_hash",
        "parent_round",
        "rows",
        "generated_rows",
        "rationalized_rows",
        "reused_rows",
    )
    assert columns(rows, *names) == [(1, "model-1", 0, 2, 1, 1, 0), (2, "model-2", 0, 3, 2, 1, 1)]
    assert columns(rows, "base_hash", "first_round", "writers", "problems") == [
        (BASE, 1, [BASE], 2),
        (BASE, 1, [BASE, "model-1"], 3),
    ]


def test_checkpoint_lineage_of_a_model_trained_from_the_one_before_names_its_round(rounds: Store) -> None:
    trained = {
        "variant": "main",
        "path": "p",
        "content_hash": "model-2b",
        "parent_hash": "model-1",
        "base_hash": BASE,
        "training_set_digest": "set-1",
        "rows": 3,
        "steps": 6,
    }
    commit_rows(rounds, "train", 2, {"checkpoints": [trained]}, input_digest="2")
    assert columns(report(rounds, "checkpoint_lineage"), "content_hash", "parent_round") == [
        ("model-1", 0),
        ("model-2b", 1),
    ]
