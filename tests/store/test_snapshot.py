"""Analysts read a copy: current when they ask, never the live file, and nothing else of the machine."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import DataError
from pipeline.store import Store
from tests.store.known_rows import EXPERIMENT, commit_rows, problem


def test_query_readonly_makes_the_snapshot_and_refreshes_it_after_a_commit(store: Store) -> None:
    assert store.query_readonly("SELECT count(*) AS n FROM problems") == (["n"], [(0,)])
    commit_rows(store, "prepare", 0, {"problems": [problem("p1")]})
    query = "SELECT problem_id FROM current_problems WHERE experiment = ?"
    assert store.query_readonly(query, [EXPERIMENT]) == (["problem_id"], [("p1",)])
    assert store.query_readonly("SELECT $x + 1 AS y", {"x": 1}) == (["y"], [(2,)])


def test_query_on_a_snapshot_draws_no_progress_bar_of_its_own(store: Store) -> None:
    shown = "SELECT current_setting('enable_progress_bar') AS bar"
    assert store.query_readonly(shown) == (["bar"], [(False,)])


def test_snapshot_that_is_current_or_young_is_not_copied_again(store: Store) -> None:
    first = store.snapshot().stat().st_ino
    assert store.snapshot().stat().st_ino == first
    commit_rows(store, "prepare", 0, {})
    assert store.snapshot(max_age_s=3600).stat().st_ino == first
    assert store.snapshot().stat().st_ino != first


def test_snapshot_opens_by_itself_with_views(world: Store, tmp_path: Path) -> None:
    shutil.copy(world.snapshot(), tmp_path / "mine.duckdb")
    with duckdb.connect(str(tmp_path / "mine.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM rounds_summary").fetchone() == (2,)


def test_snapshot_after_a_kill_holds_what_only_the_log_holds(store: Store) -> None:
    child = os.fork()
    if child == 0:  # commits without a checkpoint, and dies with the log on disk
        connection = duckdb.connect(str(store.home.store_path), config={"checkpoint_threshold": "1TB"})
        connection.execute("INSERT INTO prompts VALUES ('h', 'in the log')")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert store.home.store_path.with_name("star.duckdb.wal").exists()
    assert store.query_readonly("SELECT text FROM prompts") == (["text"], [("in the log",)])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY problems TO '/tmp/star-test-should-not-exist.csv'",
        "ATTACH '/tmp/star-test-should-not-exist.duckdb' AS other",
        "DELETE FROM problems",
        "CREATE TABLE mine (a INTEGER)",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELEKT 1",
        "SELECT * FROM no_such_table",
    ],
)
def test_query_readonly_can_only_read_the_snapshot(store: Store, statement: str) -> None:
    with pytest.raises(DataError, match="query failed"):
        store.query_readonly(statement)
    assert not list(Path("/tmp").glob("star-test-should-not-exist*"))
