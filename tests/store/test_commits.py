"""Begin, commit, fail, state: done means all shards under one input digest, and nothing is erased."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.identity import combine_digests
from pipeline.store import RunSummary, StageKey, StageState, Store, write_rows
from tests.store.known_rows import EXPERIMENT, commit_rows, problem, rationale, verdict

KEY = StageKey(EXPERIMENT, 1, "generate")
BEGIN: dict[str, Any] = {"host": "here", "device": "cpu", "versions": {"torch": "2"}}


def sql(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.reading() as connection:
        return connection.execute(query).fetchall()


def written(store: Store, name: str, *ids: str) -> dict[str, Path]:
    constants = {"experiment": EXPERIMENT, "round": 1, "stage": "generate", "shard": 0}
    path = store.home.stage(EXPERIMENT, 1, "generate") / name / "rationales.parquet"
    return {
        "rationales": write_rows("rationales", path, [rationale(key, "p1") for key in ids], constants).path
    }


def test_state_of_a_stage_that_never_ran_is_empty(store: Store) -> None:
    assert store.state(KEY) == StageState()


def test_commit_all_shards_makes_the_stage_done_with_combined_digest(store: Store) -> None:
    commit_rows(
        store, "generate", 1, {"rationales": [rationale("a", "p1")]}, shard=0, shards=2, output_digest="0a"
    )
    halfway = store.state(KEY)
    assert (halfway.done, halfway.output_digest, halfway.status) == (frozenset({0}), None, "running")
    commit_rows(
        store, "generate", 1, {"rationales": [rationale("b", "p2")]}, shard=1, shards=2, output_digest="0b"
    )
    assert store.state(KEY) == StageState(
        "inputs-1", 2, frozenset({0, 1}), combine_digests(["0a", "0b"]), "done"
    )


def test_commit_shards_with_equal_digests_both_count(store: Store) -> None:
    for shard in (0, 1):
        commit_rows(store, "generate", 1, {}, shard=shard, shards=2, output_digest="07")
    assert store.state(KEY).output_digest == combine_digests(["07", "07"])


def test_commit_same_files_again_loads_nothing_twice(store: Store) -> None:
    files = written(store, "a", "a1", "a2")
    arguments: dict[str, Any] = {"shard": 0, "shards": 1, "input_digest": "i"}
    store.begin(KEY, **arguments, **BEGIN)
    for _ in range(3):
        store.commit(KEY, **arguments, files=files, output_digest="01", summary=RunSummary(rows_out=2))
    assert sql(store, "SELECT count(*), count(*) FILTER (superseded) FROM rationales") == [(2, 0)]
    assert sql(store, "SELECT table_name, rows, path FROM commits") == [
        ("rationales", 2, f"experiments/{EXPERIMENT}/round-001/generate/a/rationales.parquet")
    ]


def test_commit_other_content_of_the_same_shard_supersedes_what_was_there(store: Store) -> None:
    commit_rows(store, "generate", 1, {"rationales": [rationale("old", "p1")]})
    commit_rows(store, "generate", 1, {"rationales": [rationale("new", "p1")]})
    assert sql(store, "SELECT rationale_id, superseded FROM rationales ORDER BY 1") == [
        ("new", False),
        ("old", True),
    ]
    assert sql(store, "SELECT count(*) FROM commits") == [(1,)]


def test_begin_with_other_inputs_supersedes_every_table_and_forgets_commits(store: Store) -> None:
    rejected = {"rationale_id": None, "problem_id": "p9", "reason": "prompt_too_long"}
    commit_rows(store, "generate", 1, {"rationales": [rationale("a", "p1")], "rejections": [rejected]})
    commit_rows(store, "generate", 2, {"rationales": [rationale("b", "p1")]})
    store.begin(KEY, shard=0, shards=1, input_digest="inputs-2", **BEGIN)
    assert sql(store, "SELECT round, superseded FROM rationales ORDER BY 1") == [(1, True), (2, False)]
    assert sql(store, "SELECT superseded FROM rejections") == [(True,)]
    assert store.state(KEY) == StageState("inputs-2", 1, frozenset(), None, "running")


def test_begin_with_another_shard_count_starts_over(store: Store) -> None:
    commit_rows(store, "generate", 1, {"rationales": [rationale("a", "p1")]})
    store.begin(KEY, shard=1, shards=2, input_digest="inputs-1", **BEGIN)
    assert store.state(KEY).done == frozenset()
    assert sql(store, "SELECT superseded FROM rationales") == [(True,)]


def test_begin_going_back_to_earlier_inputs_does_not_revive_their_commits(store: Store) -> None:
    commit_rows(store, "generate", 1, {}, input_digest="first")
    commit_rows(store, "generate", 1, {}, input_digest="second")
    store.begin(KEY, shard=0, shards=1, input_digest="first", **BEGIN)
    assert store.state(KEY).done == frozenset()


def test_begin_force_redoes_one_shard_and_leaves_the_other(store: Store) -> None:
    for shard in (0, 1):
        commit_rows(
            store, "generate", 1, {"rationales": [rationale(f"s{shard}", "p1")]}, shard=shard, shards=2
        )
    store.begin(KEY, shard=1, shards=2, input_digest="inputs-1", **BEGIN, force=True)
    assert store.state(KEY).done == frozenset({0})
    assert sql(store, "SELECT rationale_id, superseded FROM rationales ORDER BY 1") == [
        ("s0", False),
        ("s1", True),
    ]


def test_begin_again_after_a_kill_marks_the_first_execution_interrupted(store: Store) -> None:
    for _ in range(2):
        store.begin(KEY, shard=0, shards=1, input_digest="i", **BEGIN)
    assert sql(store, "SELECT execution, status FROM stage_runs ORDER BY 1") == [
        (1, "interrupted"),
        (2, "running"),
    ]


def test_fail_records_the_error_and_a_later_commit_heals_it(store: Store) -> None:
    store.begin(KEY, shard=0, shards=1, input_digest="inputs-1", **BEGIN)
    store.fail(KEY, shard=0, error="ModelLoadError: no weights")
    assert store.state(KEY).status == "failed"
    assert sql(store, "SELECT status, error FROM stage_runs") == [("failed", "ModelLoadError: no weights")]
    commit_rows(store, "generate", 1, {})
    assert store.state(KEY).status == "done"


def test_commit_after_another_run_began_with_other_inputs_is_refused(store: Store) -> None:
    files = written(store, "a", "a1")
    store.begin(KEY, shard=0, shards=1, input_digest="mine", **BEGIN)
    store.begin(KEY, shard=0, shards=1, input_digest="theirs", **BEGIN)
    with pytest.raises(StoreError, match="another run replaced this one"):
        store.commit(
            KEY, shard=0, shards=1, input_digest="mine", files=files, output_digest="1", summary=RunSummary()
        )
    assert sql(store, "SELECT count(*) FROM rationales") == [(0,)]


def test_commit_with_a_row_of_another_round_writes_nothing_at_all(store: Store) -> None:
    files = written(store, "a", "a1")
    stray = {"rationale_id": "a1", "problem_id": "p", "reason": "wrong", "experiment": EXPERIMENT, "round": 2}
    path = files["rationales"].with_name("rejections.parquet")
    files["rejections"] = write_rows("rejections", path, [stray], {"stage": "generate", "shard": 0}).path
    store.begin(KEY, shard=0, shards=1, input_digest="i", **BEGIN)
    with pytest.raises(StoreError, match="round 2; expected 'sums', round 1"):
        store.commit(
            KEY, shard=0, shards=1, input_digest="i", files=files, output_digest="1", summary=RunSummary()
        )
    assert sql(store, "SELECT (SELECT count(*) FROM rationales), (SELECT count(*) FROM commits)") == [(0, 0)]


def test_commit_file_of_another_table_is_refused(store: Store) -> None:
    files = {"verdicts": written(store, "a", "a1")["rationales"]}
    store.begin(KEY, shard=0, shards=1, input_digest="i", **BEGIN)
    with pytest.raises(StoreError, match="other columns than verdicts"):
        store.commit(
            KEY, shard=0, shards=1, input_digest="i", files=files, output_digest="1", summary=RunSummary()
        )


def test_commit_prompts_keeps_one_row_per_hash(store: Store) -> None:
    prompts = [{"prompt_hash": "h1", "text": "one"}, {"prompt_hash": "h1", "text": "one"}]
    commit_rows(store, "generate", 1, {"prompts": prompts})
    commit_rows(store, "generate", 2, {"prompts": [*prompts, {"prompt_hash": "h2", "text": "two"}]})
    assert sql(store, "SELECT * FROM prompts ORDER BY 1") == [("h1", "one"), ("h2", "two")]


def test_commit_summary_is_kept_with_its_execution(store: Store) -> None:
    summary = RunSummary(
        3, 2, 40, 1.5, 99.0, "cuda:0", {"vllm": "0.26"}, {"wrong": 1}, "3 attempts: 2 kept", 1.25, 30, 7.5
    )
    commit_rows(store, "generate", 1, {}, summary=summary)
    columns = "rows_in, rows_out, tokens, seconds, peak_memory, device, versions->>'vllm', detail->>'wrong'"
    accounts = "engine_seconds, engine_tokens, peak_gpu_memory"
    assert sql(store, f"SELECT {columns}, summary, {accounts} FROM stage_runs") == [
        (3, 2, 40, 1.5, 99.0, "cuda:0", "0.26", "1", "3 attempts: 2 kept", 1.25, 30, 7.5)
    ]


def test_commit_home_with_pattern_characters_loads_its_own_file(tmp_path: Path) -> None:
    from pipeline.paths import Home

    store = Store(Home(tmp_path / "o'brien [1] *"))
    store.migrate()
    commit_rows(store, "verify_generated", 1, {"verdicts": [verdict("a", "correct")]})
    assert sql(store, "SELECT rationale_id FROM verdicts") == [("a",)]


def test_put_updates_named_columns_and_keeps_the_others(store: Store) -> None:
    store.put("rounds", [{"experiment": "x", "round": 1, "status": "running", "config": {"a": [1]}}])
    store.put("rounds", [{"experiment": "x", "round": 1, "status": "done", "decision": "stop"}])
    (row,) = store.rows("round", experiment="x", round=1)
    assert (row["status"], row["decision"], row["config"]) == ("done", "stop", {"a": [1]})


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("rationales", {}, "come with a commit"),
        ("rounds", {"experiment": "x"}, "missing key columns \\['round'\\]"),
        ("rounds", {"experiment": "x", "round": 1, "mood": "good"}, "unknown columns \\['mood'\\]"),
    ],
)
def test_put_what_does_not_fit_is_refused(store: Store, table: str, row: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError, match=words):
        store.put(table, [row])


def test_rows_and_stream_give_the_same_rows_with_json_parsed(store: Store) -> None:
    problems = [problem(f"p{n:04d}", meta={"n": n}, choices={"a": "x"}) for n in range(3000)]
    commit_rows(store, "prepare", 0, {"problems": problems})
    streamed = list(store.stream("train_problems", experiment=EXPERIMENT, round=1))
    assert streamed == store.rows("train_problems", experiment=EXPERIMENT, round=1)
    assert streamed[7]["meta"] == {"n": 7} and streamed[7]["choices"] == {"a": "x"}
    assert not list((store.home.root / "tmp").iterdir())


def test_stream_lets_others_write_while_its_rows_are_read(store: Store) -> None:
    commit_rows(store, "prepare", 0, {"problems": [problem("p1"), problem("p2")]})
    rows = store.stream("train_problems", experiment=EXPERIMENT, round=1)
    assert next(rows)["problem_id"] == "p1"
    store.put("rounds", [{"experiment": EXPERIMENT, "round": 0}])
    assert [row["problem_id"] for row in rows] == ["p2"]


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("round", {"experiment": "x"}, "takes the parameters"),
        ("round", {"experiment": "x", "round": 1, "extra": 2}, "takes the parameters"),
        ("no_such", {}, "no query 'no_such'.*train_problems"),
        ("../migrations/0001_tables", {}, "not valid"),
        ("checks/../round", {}, "not valid"),
    ],
)
def test_rows_wrong_name_or_parameters_are_named(
    store: Store, name: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        store.rows(name, **parameters)


def test_rows_value_with_sql_in_it_is_only_a_value(store: Store) -> None:
    hostile = "x'; DROP TABLE rounds; --"
    store.put("rounds", [{"experiment": hostile, "round": 0}])
    assert [row["experiment"] for row in store.rows("rounds", experiment=hostile)] == [hostile]
