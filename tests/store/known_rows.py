"""Known rows, committed the way stages do it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.store import RunSummary, StageKey, Store, write_rows
from pipeline.store.tables import utc_now

Rows = Mapping[str, Iterable[Mapping[str, Any]]]

EXPERIMENT = "sums"
BASE = "base-hash"
GRADER = {"grader": "main", "grader_digest": "grader-1"}


def commit_rows(
    store: Store,
    stage: str,
    round_: int,
    tables: Rows,
    *,
    shard: int = 0,
    shards: int = 1,
    input_digest: str = "inputs-1",
    output_digest: str = "01",
    experiment: str = EXPERIMENT,
    summary: RunSummary | None = None,
    force: bool = False,
) -> None:
    """Begin and commit one shard of a stage with the given rows."""
    key = StageKey(experiment, round_, stage)
    identity = {"shard": shard, "shards": shards, "input_digest": input_digest}
    store.begin(key, **identity, host="here", device="cpu", versions={"duckdb": "1.5"}, force=force)
    folder = store.home.stage(experiment, round_, stage) / f"{input_digest}-{shard}-of-{shards}"
    constants = {"experiment": experiment, "round": round_, "stage": stage, "shard": shard}
    files = {
        table: write_rows(table, folder / f"{table}.parquet", rows, constants).path
        for table, rows in tables.items()
    }
    store.commit(key, **identity, files=files, output_digest=output_digest, summary=summary or RunSummary())


def problem(problem_id: str, split: str = "train", **fields: Any) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "split": split,
        "question": f"question of {problem_id}",
        "answer": "7",
        "difficulty": "easy",
        "source": "made",
        "added_round": 0,
        "canonical_prompt_hash": f"prompt-{problem_id}",
        **fields,
    }


def rationale(rationale_id: str, problem_id: str, origin: str = "generated", **fields: Any) -> dict[str, Any]:
    return {
        "rationale_id": rationale_id,
        "origin": origin,
        "purpose": "training",
        "problem_id": problem_id,
        "split": "train",
        "difficulty": "easy",
        "sample": 0,
        "text": f"text of {rationale_id}",
        "answer": "7",
        "finish_reason": "eos",
        "prompt_tokens": 5,
        "completion_tokens": 10,
        "text_chars": 9,
        "norm_hash": f"norm-{rationale_id}",
        "sampling": {"temperature": 0.0},
        "seed": 1,
        "model_hash": BASE,
        "prompt_hash": f"prompt-{problem_id}",
        "prompt_style": "zero_shot",
        "seconds": 0.1,
        **fields,
    }


def verdict(rationale_id: str, outcome: str, **fields: Any) -> dict[str, Any]:
    return {
        "rationale_id": rationale_id,
        **GRADER,
        "outcome": outcome,
        "score": 1.0 if outcome == "correct" else 0.0,
        "reason": "exact",
        **fields,
    }


def stop(problem_id: str, samples: int, correct: int, reason: str, **fields: Any) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "difficulty": "easy",
        "samples": samples,
        "correct": correct,
        "tokens": 10 * samples,
        "pass_rate": 0.5,
        "reason": reason,
        **fields,
    }


def training_row(
    rationale_id: str, problem_id: str, origin: str, from_round: int, **fields: Any
) -> dict[str, Any]:
    return {
        "rationale_id": rationale_id,
        "problem_id": problem_id,
        "origin": origin,
        "from_round": from_round,
        "sample": 0,
        "grader_digest": GRADER["grader_digest"],
        "prompt": f"question of {problem_id}",
        "prompt_hash": f"prompt-{problem_id}",
        "completion": " 7",
        "norm_hash": f"norm-{rationale_id}",
        "tokens": 3,
        "input_ids": [5, 6, 2],
        "labels": [-100, 6, 2],
        "training_set_digest": "set-1",
        **fields,
    }


def evaluation(split: str, value: float, **fields: Any) -> dict[str, Any]:
    return {
        "split": split,
        "metric": "accuracy",
        "prompt_style": "zero_shot",
        "grader_digest": GRADER["grader_digest"],
        "problems": 2,
        "samples": 1,
        "k": 1,
        "correct": round(2 * value),
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        **fields,
    }


def put_round(store: Store, round_: int, experiment: str = EXPERIMENT, **fields: Any) -> None:
    config = {"select": {"filter": "verified"}, "train": {"start": "base"}}
    row = {
        "experiment": experiment,
        "round": round_,
        "config": config,
        "status": "done",
        "started_at": utc_now(),
    }
    store.put("rounds", [{**row, **fields}])


def commit_world(store: Store) -> None:
    """An experiment with rounds 0 and 1, in order.

    Round 1: p1 is solved at once, p2 only with the hint, p3 not at all (one attempt cut off, one ungraded);
    the second attempt at p1 is a duplicate. The base solves one of two eval problems, the model both.
    """
    store.put(
        "experiments",
        [
            {
                "experiment": EXPERIMENT,
                "config": {},
                "config_digest": "c",
                "base_hash": BASE,
                "created_at": utc_now(),
            }
        ],
    )
    put_round(store, 0)
    problems = [*(problem(f"p{n}") for n in (1, 2, 3)), *(problem(f"e{n}", "eval") for n in (1, 2))]
    commit_rows(store, "prepare", 0, {"problems": problems})
    _commit_evaluation(store, 0, correct={"e1"}, value=0.5, styles=("zero_shot", "few_shot"))
    put_round(store, 1)
    commit_rows(store, "prepare", 1, {})
    _commit_generation(store)
    _commit_rationalization(store)
    _commit_training(store)
    _commit_evaluation(store, 1, correct={"e1", "e2"}, value=1.0)


def _prompts(*names: str) -> list[dict[str, str]]:
    return [{"prompt_hash": f"prompt-{name}", "text": f"question of {name}"} for name in names]


def _commit_generation(store: Store) -> None:
    attempts = [
        rationale("g1", "p1"),
        rationale("g1b", "p1", sample=1),
        rationale("g2", "p2"),
        rationale("g3", "p3", finish_reason="length"),
        rationale("g3b", "p3", sample=1),
    ]
    stops = [stop("p1", 2, 1, "samples"), stop("p2", 1, 0, "hopeless"), stop("p3", 2, 0, "samples")]
    commit_rows(
        store,
        "generate",
        1,
        {"rationales": attempts, "prompts": _prompts("p1", "p2", "p3"), "sampling_stops": stops},
        summary=RunSummary(rows_in=5, rows_out=5, tokens=50, seconds=2.0, peak_memory=100.0, text="5 asked"),
    )
    outcomes = {"g1": "correct", "g1b": "correct", "g2": "wrong", "g3": "wrong", "g3b": "ungraded"}
    commit_rows(store, "verify_generated", 1, {"verdicts": [verdict(*item) for item in outcomes.items()]})


def _commit_rationalization(store: Store) -> None:
    hinted = {"prompt_style": "hinted", "hint": "(7)"}
    attempts = [
        rationale("r2", "p2", "rationalized", prompt_hash="prompt-h2", **hinted),
        rationale("r3", "p3", "rationalized", prompt_hash="prompt-h3", **hinted),
    ]
    commit_rows(
        store,
        "rationalize",
        1,
        {"rationales": attempts, "prompts": _prompts("h2", "h3")},
        summary=RunSummary(rows_in=2, rows_out=2, tokens=20, seconds=1.0),
    )
    commit_rows(
        store, "verify_rationalized", 1, {"verdicts": [verdict("r2", "correct"), verdict("r3", "wrong")]}
    )


def _commit_training(store: Store) -> None:
    rows = [training_row("g1", "p1", "generated", 1), training_row("r2", "p2", "rationalized", 1)]
    reasons = {"g1b": "duplicate", "g2": "wrong", "g3": "cut_off", "g3b": "ungraded", "r3": "wrong"}
    problem_of = {"g1b": "p1", "g2": "p2", "g3": "p3", "g3b": "p3", "r3": "p3"}
    rejections = [
        {"rationale_id": key, "problem_id": problem_of[key], "reason": reason}
        for key, reason in reasons.items()
    ]
    commit_rows(store, "select", 1, {"training_rows": rows, "rejections": rejections})
    checkpoint = {
        "variant": "main",
        "path": "experiments/sums/round-001/checkpoints/main",
        "content_hash": "model-1",
        "parent_hash": BASE,
        "base_hash": BASE,
        "training_set_digest": "set-1",
        "rows": 2,
        "steps": 4,
        "loss": 0.5,
    }
    commit_rows(store, "train", 1, {"checkpoints": [checkpoint]})


def _commit_evaluation(
    store: Store, round_: int, correct: set[str], value: float, styles: Iterable[str] = ("zero_shot",)
) -> None:
    attempts = [
        rationale(
            f"{style[0]}{round_}{name}",
            name,
            "evaluated",
            purpose="greedy",
            split="eval",
            prompt_style=style,
            prompt_hash=f"prompt-{style}-{name}",
        )
        for style in styles
        for name in ("e1", "e2")
    ]
    prompts = [{"prompt_hash": row["prompt_hash"], "text": row["prompt_hash"]} for row in attempts]
    count = len(attempts)
    commit_rows(
        store,
        "evaluate",
        round_,
        {"rationales": attempts, "prompts": prompts},
        summary=RunSummary(rows_in=count, rows_out=count),
    )
    verdicts = [
        verdict(row["rationale_id"], "correct" if row["problem_id"] in correct else "wrong")
        for row in attempts
    ]
    evaluations = [
        evaluation(
            "eval", value if style == "zero_shot" else value - 0.5, prompt_style=style, difficulty=difficulty
        )
        for style in styles
        for difficulty in (None, "easy")
    ]
    commit_rows(store, "verify_evaluated", round_, {"verdicts": verdicts, "evaluations": evaluations})
