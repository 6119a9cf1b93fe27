"""A store can be compared with its shard files, made smaller, and built anew: the rebuilt one equals it."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.errors import LeaseHeldError, StoreError
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.store import StageKey, Store
from pipeline.store.journal import NAME as JOURNAL
from pipeline.store.maintenance import compact, deep_check, rebuild
from tests.store.known_rows import EXPERIMENT, commit_rows, problem, rationale, verdict

QUIET = LogProgress(io.StringIO())


def content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted."""
    with store.reading() as connection:
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'store' "
            "AND table_name NOT IN ('store_info', 'leases')"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=str)
            for (name,) in tables
        }


def busy(store: Store) -> None:
    """More history: a stage replaced by other inputs, one forced, one failed, a fork."""
    commit_rows(
        store, "rationalize", 1, {"rationales": [rationale("x", "p2", "rationalized")]}, input_digest="new"
    )
    commit_rows(store, "prepare", 0, {"problems": [problem("p1")]}, input_digest="other")
    store.fail(StageKey(EXPERIMENT, 1, "generate"), shard=0, error="nothing ran")
    store.begin(
        StageKey(EXPERIMENT, 2, "train"),
        shard=0,
        shards=1,
        input_digest="i",
        host="h",
        device="cpu",
        versions={},
    )
    store.fail(StageKey(EXPERIMENT, 2, "train"), shard=0, error="no space left")
    store.fork(EXPERIMENT, "sums-b", 1)
    store.put("rounds", [{"experiment": EXPERIMENT, "round": 1, "decision": "stop", "reason": "enough"}])


def path_of(store: Store, table: str, stage: str) -> Path:
    rows = store.rows("committed_files", experiment=EXPERIMENT)
    (path,) = [
        row["path"] for row in rows if row["table_name"] == table and row["stage"] == stage and row["round"]
    ]
    return store.home.absolute(path)


def test_rebuild_from_journal_and_shard_files_equals_the_original(world: Store, tmp_path: Path) -> None:
    busy(world)
    original = content(world)
    world.home.store_path.rename(tmp_path / "damaged.duckdb")
    rebuilt = rebuild(world.home, world.home.store_path, QUIET)
    assert rebuilt.left_out == []
    assert content(Store(world.home)) == original


def test_rebuild_after_a_torn_last_line_goes_on_as_if_it_never_was(world: Store, tmp_path: Path) -> None:
    with (world.home.root / JOURNAL).open("a", encoding="utf-8") as lines:
        lines.write('{"do": "commit", "experiment": "su')
    world.put("rounds", [{"experiment": EXPERIMENT, "round": 1, "reason": "after the kill"}])
    assert rebuild(world.home, tmp_path / "anew.duckdb", QUIET).left_out == []
    (tmp_path / "anew.duckdb").rename(world.home.store_path)
    assert Store(world.home).rows("round", experiment=EXPERIMENT, round=1)[0]["reason"] == "after the kill"


def test_rebuild_without_a_shard_file_names_it_and_leaves_its_stage_to_do(world: Store) -> None:
    path = path_of(world, "training_rows", "select")
    path.unlink()
    world.home.store_path.unlink()
    rebuilt = rebuild(world.home, world.home.store_path, QUIET)
    assert rebuilt.left_out == [
        f"commit experiment sums round 1 stage select shard 0: {world.home.relative(path)} is gone"
    ]
    again = Store(world.home)
    assert again.state(StageKey(EXPERIMENT, 1, "select")).status == "running"
    assert again.state(StageKey(EXPERIMENT, 1, "generate")).status == "done"


def test_rebuild_without_a_file_that_was_written_anew_lacks_nothing_that_counts(world: Store) -> None:
    again = [verdict("g1", "correct", elapsed_ms=float(number)) for number in range(2)]
    for row in again:  # the same inputs write the same file again
        commit_rows(world, "regrade-x", 1, {"verdicts": [{**row, "decides": False}]}, force=True)
    before = content(world)
    world.home.store_path.unlink()
    rebuilt = rebuild(world.home, world.home.store_path, QUIET)
    assert rebuilt.left_out == []
    (sentence,) = rebuilt.replaced
    assert "stage regrade-x shard 0" in sentence and "has other content now" in sentence
    after = content(Store(world.home))
    assert [row for row in before["verdicts"] if not row[-1]] == after["verdicts"]


def test_rebuild_does_not_overwrite_and_needs_a_journal(world: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="exists; move it away"):
        rebuild(world.home, world.home.store_path, QUIET)
    with pytest.raises(StoreError, match="no journal at"):
        rebuild(Home(tmp_path / "empty"), tmp_path / "target.duckdb", QUIET)


def test_rebuild_beside_the_log_of_a_lost_file_refuses_and_names_both(world: Store) -> None:
    path = world.home.store_path
    path.unlink()
    log = path.with_name("star.duckdb.wal")
    log.write_bytes(b"rows of the file that is gone")
    with pytest.raises(StoreError, match=f"{path} is gone, but its write-ahead log {log} is there"):
        rebuild(world.home, path, QUIET)
    assert not path.exists() and log.read_bytes() == b"rows of the file that is gone"
    log.unlink()
    assert rebuild(world.home, path, QUIET).left_out == []


def test_journal_holds_one_line_an_operation_in_order(store: Store) -> None:
    commit_rows(store, "generate", 1, {"rationales": [rationale("a", "p")]})
    store.put("rounds", [{"experiment": EXPERIMENT, "round": 1}])
    lines = (store.home.root / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["do"] for line in lines] == ["begin", "commit", "put"]


def test_deep_check_intact_store_and_its_fork_have_no_offence(world: Store) -> None:
    world.fork(EXPERIMENT, "sums-b", 1)
    assert deep_check(world, EXPERIMENT, None, QUIET) == []
    assert deep_check(world, "sums-b", None, QUIET) == []


def test_deep_check_finds_files_that_are_gone_or_changed_and_rows_that_were_edited(world: Store) -> None:
    path_of(world, "rationales", "generate").unlink()
    with path_of(world, "verdicts", "verify_generated").open("ab") as file:
        file.write(b"x")
    with world.transaction() as connection:
        connection.execute("UPDATE training_rows SET completion = ' 8' WHERE rationale_id = 'g1'")
        connection.execute("DELETE FROM prompts WHERE prompt_hash = 'prompt-h2'")
    found = {
        (offence.check, offence.row["table_name"]): offence.row
        for offence in deep_check(world, EXPERIMENT, None, QUIET)
    }
    assert set(found) == {
        ("shard_file_missing", "rationales"),
        ("shard_file_changed", "verdicts"),
        ("rows_differ_from_file", "training_rows"),
        ("rows_differ_from_file", "prompts"),
    }
    row = found[("rows_differ_from_file", "training_rows")]
    assert (row["only_in_file"], row["only_in_store"]) == (1, 1)


def test_compact_keeps_every_row_and_makes_the_file_smaller(store: Store) -> None:
    text = "a line of reasoning that is never quite the same "
    for number in range(4):  # each replaces the one before
        rows = [
            rationale(f"{number}-{n}", "p", sample=n, text=f"{text}{n * 7919} " * 20) for n in range(3000)
        ]
        commit_rows(store, "generate", 1, {"rationales": rows}, input_digest=f"inputs-{number}")
    before = content(store)
    sizes = compact(store, QUIET)
    assert content(store) == before
    assert sizes.after == store.home.store_path.stat().st_size < sizes.before
    assert store.rows("rounds_summary", experiment=EXPERIMENT) == []
    commit_rows(store, "generate", 2, {"rationales": [rationale("later", "p")]})
    assert len(list(store.home.root.glob("star.duckdb*"))) == 2  # the store and its lock


def test_compact_after_a_kill_keeps_what_only_the_log_holds(store: Store) -> None:
    child = os.fork()
    if child == 0:  # commits without a checkpoint, and dies with the log on disk
        connection = duckdb.connect(str(store.home.store_path), config={"checkpoint_threshold": "1TB"})
        connection.execute("INSERT INTO prompts VALUES ('h', 'in the log')")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    compact(store, QUIET)
    assert content(store)["prompts"] == [("h", "in the log")]


def test_compact_that_is_killed_leaves_the_store_as_it_was_and_the_next_removes_the_rest(
    store: Store,
) -> None:
    rows = [rationale(str(n), "p", sample=n, text=f"{n * 7919} is no prime " * 40) for n in range(30_000)]
    commit_rows(store, "generate", 1, {"rationales": rows})
    before = content(store)
    command = [sys.executable, "-m", "pipeline", "--home", str(store.home.root), "store", "compact"]
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(store.home.root.glob("star.duckdb.compact*")):
            time.sleep(0.001)
        time.sleep(0.01 * kills)
        process.kill()
        process.wait()
        assert content(store) == before
        kills += bool(list(store.home.root.glob("star.duckdb.compact*")))
        if kills == 3:
            break
    assert kills == 3
    compact(store, QUIET)
    assert content(store) == before
    assert not list(store.home.root.glob("star.duckdb.compact*"))


def test_compact_whose_last_checkpoint_fails_leaves_the_store_as_it_was(store: Store) -> None:
    rows = [rationale(str(n), "p", sample=n, text=f"{n * 7919} is no prime " * 10) for n in range(3000)]
    commit_rows(store, "generate", 1, {"rationales": rows})
    compact(store, QUIET)
    before, limit = content(store), store.home.store_path.stat().st_size - 4096
    done = subprocess.run(  # the rows fit into the log, which is shorter than the file
        [sys.executable, "-m", "pipeline", "--home", str(store.home.root), "store", "compact"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 74 and "File too large" in done.stderr, done.stderr
    assert content(store) == before
    assert not list(store.home.root.glob("star.duckdb.compact*"))


def test_compact_refuses_while_an_experiment_runs(world: Store) -> None:
    with world.lease(EXPERIMENT, "star run"), pytest.raises(LeaseHeldError, match="star run by process"):
        compact(world, QUIET)
