"""The store on DuckLake, with a real Postgres: what holds for a file holds here, for several machines."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, DataError, LeaseHeldError, StoreError
from pipeline.paths import Home
from pipeline.store import StageKey, Store, ducklake
from pipeline.store.checks import run_checks
from pipeline.store.journal import NAME as JOURNAL
from pipeline.store.maintenance import compact, deep_check, move, rebuild
from pipeline.store.migrations import is_current
from pipeline.store.tables import utc_now
from tests.cli.test_app import invoke
from tests.servers import PASSWORD, PASSWORD_VARIABLE, Postgres, postgres
from tests.store.known_rows import EXPERIMENT, commit_rows, commit_world, rationale
from tests.store.test_lease import HOLDER, leases, set_lease
from tests.store.test_maintenance import QUIET, busy, content
from tests.store.test_processes import rows_by_commit, start_writer

MADE = datetime(2026, 1, 1)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


@pytest.fixture
def shared(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store in a database of its own."""
    name = f"star_{os.urandom(6).hex()}"
    monkeypatch.setenv("STAR_STORE", server.new_database(name))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    made = Store(Home(tmp_path / "home"))
    made.migrate()
    return made


def test_ducklake_migrate_makes_the_store_once_and_its_files_lie_in_the_home(shared: Store) -> None:
    assert shared.exists() and is_current(shared.backend)
    before = shared.backend._moment()  # type: ignore[attr-defined]
    Store(shared.home).migrate()
    assert shared.backend._moment() == before  # type: ignore[attr-defined]
    commit_rows(shared, "generate", 1, {"rationales": [rationale(str(n), "p", sample=n) for n in range(50)]})
    assert list((shared.home.root / "lake").rglob("*.parquet"))
    assert not shared.home.store_path.exists()


def test_ducklake_same_commit_again_loads_nothing_and_other_inputs_supersede(shared: Store) -> None:
    tables = {
        "rationales": [rationale("a", "p", created_at=MADE), rationale("b", "p", created_at=MADE, sample=1)],
        "prompts": [{"prompt_hash": "h", "text": "t"}],
    }
    commit_rows(shared, "generate", 1, tables)
    commit_rows(shared, "generate", 1, tables)
    assert rows_by_commit(shared) == [(0, 1, 2)]
    assert shared.state(StageKey(EXPERIMENT, 1, "generate")).status == "done"
    commit_rows(shared, "generate", 1, {"rationales": [rationale("c", "p")]}, input_digest="inputs-2")
    with shared.reading() as connection:
        rows = connection.execute("SELECT rationale_id, superseded FROM rationales ORDER BY ALL").fetchall()
        prompts = connection.execute("SELECT count(*) FROM prompts").fetchone()
    assert rows == [("a", True), ("b", True), ("c", False)]
    assert prompts == (1,)


@pytest.mark.slow
def test_ducklake_world_in_order_gives_no_offence_and_a_broken_one_does(shared: Store) -> None:
    commit_world(shared)
    assert run_checks(shared, EXPERIMENT) == []
    assert deep_check(shared, EXPERIMENT, None, QUIET) == []
    with shared.transaction() as connection:
        connection.execute("UPDATE verdicts SET outcome = 'wrong' WHERE rationale_id = 'g1'")
    assert {offence.check for offence in run_checks(shared, EXPERIMENT)} >= {
        "training_row_without_correct_verdict"
    }


@pytest.mark.slow
def test_ducklake_rows_equal_those_of_a_file_rebuilt_from_its_journal(
    shared: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_world(shared)
    busy(shared)
    lake = content(shared)
    monkeypatch.delenv("STAR_STORE")
    assert rebuild(shared.home, shared.home.store_path, QUIET).left_out == []
    assert content(Store(shared.home)) == lake


def test_ducklake_move_takes_every_row_of_a_file_and_refuses_a_full_store(
    world: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = content(world), world.backend
    monkeypatch.setenv("STAR_STORE", server.new_database("moved"))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    shared = Store(world.home)
    with world.lease("sums", "star run"), pytest.raises(LeaseHeldError, match="star run by process"):
        move(file, shared.backend, QUIET)
    rows = move(file, shared.backend, QUIET)
    assert content(shared) == before
    assert rows["rationales"] == len(before["rationales"]) > 0
    assert (
        not world.home.store_path.exists() and world.home.store_path.with_name("star.duckdb.moved").exists()
    )
    with pytest.raises(StoreError, match="nothing to move"):
        move(file, shared.backend, QUIET)
    moved = world.home.store_path.with_name("star.duckdb.moved")
    shutil.copyfile(moved, world.home.store_path)
    shared.put("rounds", [{"experiment": EXPERIMENT, "round": 9}])
    with pytest.raises(StoreError, match="holds experiments"):
        move(file, shared.backend, QUIET)
    assert file.exists()


def test_ducklake_move_killed_before_the_file_was_renamed_is_finished_by_the_same_call(
    world: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = content(world), world.backend
    monkeypatch.setenv("STAR_STORE", server.new_database("moved_twice"))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    shared = Store(world.home)
    rows = move(file, shared.backend, QUIET)
    first, second = (world.home.store_path.with_name(f"star.duckdb.moved{end}") for end in ("", "-2"))
    shutil.copyfile(first, world.home.store_path)  # as it lay there after COMMIT
    bytes_of_first = first.read_bytes()
    assert move(file, shared.backend, QUIET) == rows
    assert content(shared) == before
    assert not file.exists() and second.exists() and first.read_bytes() == bytes_of_first


def test_ducklake_goes_back_into_a_file_with_every_row_and_stays_as_it_is(
    world: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = content(world), world.backend
    url = server.new_database("there_and_back")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    code, told, said = invoke("store", "migrate", url, home=world.home.root)
    assert (code, "as many as in" in told, "set store.url" in said) == (0, True, True), said
    assert PASSWORD not in told + said
    monkeypatch.setenv("STAR_STORE", url)
    shared = Store(world.home)
    assert content(shared) == before
    with shared.lease(EXPERIMENT, "star run"):
        assert invoke("store", "migrate", "file", home=world.home.root)[0] == 75
    code, told, _ = invoke("store", "migrate", "file", "--json", home=world.home.root)
    assert (code, json.loads(told)["rows"]["rationales"]) == (0, len(before["rationales"]))
    assert content(shared) == before
    monkeypatch.delenv("STAR_STORE")
    assert content(Store(world.home)) == before and file.exists()


@pytest.mark.slow
def test_ducklake_four_writers_at_once_lose_no_acknowledged_commit(shared: Store) -> None:
    commits = 4
    writers = [start_writer(shared, writer, commits) for writer in range(4)]
    readings = 0
    while any(writer.poll() is None for writer in writers):
        assert shared.rows("rounds", experiment=EXPERIMENT) == []  # a reader in between
        readings += 1
    acknowledged = [writer.communicate()[0].split() for writer in writers]
    assert [len(lines) for lines in acknowledged] == [commits] * 4
    assert rows_by_commit(shared) == [
        (writer, number, 20) for writer in range(4) for number in range(commits)
    ]
    assert readings > 4
    journal = (shared.home.root / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert len([json.loads(line) for line in journal]) == 4 * commits * 2


def test_ducklake_killed_writer_leaves_every_acknowledged_commit_and_the_lock_free(shared: Store) -> None:
    process = start_writer(shared, 0, 1000)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.kill()
    acknowledged = len(process.communicate()[0].split()) + 2
    commit_rows(shared, "generate", 5000, {"rationales": [rationale("after", "p")]}, shard=1, shards=8)
    *present, last = rows_by_commit(shared)
    assert len(present) in (acknowledged, acknowledged + 1) and {count for _, _, count in present} == {20}
    assert last == (1, 5000, 1)


def test_ducklake_lease_of_another_host_binds_until_it_expires(shared: Store) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(shared.home.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    set_lease(shared, "host = ?", "other-host")
    holder.kill()
    holder.wait(20)
    with pytest.raises(LeaseHeldError, match="on other-host since"), shared.lease("sums", "star run"):
        pytest.fail("taken from a holder that may live")
    set_lease(shared, "expires_at = ?", utc_now() - timedelta(seconds=1))
    with shared.lease("sums", "star run"):
        assert leases(shared) == 1
    assert leases(shared) == 0


def test_ducklake_snapshot_is_a_file_of_one_moment_taken_anew_after_a_commit(shared: Store) -> None:
    commit_world(shared)
    query = "SELECT count(*) FROM current_rationales"
    (before,) = shared.query_readonly(query)[1]
    first = shared.snapshot().stat().st_ino
    assert shared.snapshot().stat().st_ino == first
    commit_rows(shared, "generate", 7, {"rationales": [rationale("new", "p1")]})
    assert shared.snapshot(max_age_s=3600).stat().st_ino == first
    assert shared.query_readonly(query)[1] == [(before[0] + 1,)]
    assert shared.snapshot().stat().st_ino != first
    with pytest.raises(DataError, match="query failed"):
        shared.query_readonly("DELETE FROM problems")
    assert not list(shared.home.root.glob("star.snapshot.duckdb?*"))


def test_ducklake_compact_keeps_every_row(shared: Store) -> None:
    for number in range(4):
        rows = [rationale(f"{number}-{n}", "p", sample=n) for n in range(200)]
        commit_rows(shared, "generate", 1, {"rationales": rows}, input_digest=f"inputs-{number}")
    before = content(shared)
    compact(shared, QUIET)
    assert content(shared) == before
    commit_rows(shared, "generate", 2, {"rationales": [rationale("later", "p")]})


def test_ducklake_lock_not_free_in_time_is_an_error_that_names_the_holder(
    shared: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ducklake, "LOCK_TIMEOUT_S", 1)
    with (
        shared.backend.connect(write=True),
        pytest.raises(StoreError, match=f"held by star {os.getpid()} on"),
        ducklake.Lake(shared.backend.url, shared.home.root)._writing(),  # type: ignore[attr-defined]
    ):
        pytest.fail("two writers at once")


def test_ducklake_catalog_that_is_down_or_refuses_is_an_error_without_the_password(
    shared: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["STAR_STORE"]
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-but-secret")
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        Store(shared.home).rows("all_experiments")
    monkeypatch.setenv("STAR_STORE", url.replace("port=", "port=1 application_name="))
    with pytest.raises(
        StoreError, match=r"(?s)cannot be reached.*refused.*look whether Postgres runs"
    ) as down:
        Store(shared.home).rows("all_experiments")
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(ConfigError, match=f"{PASSWORD_VARIABLE} is not set"):
        Store(shared.home).rows("all_experiments")
    assert "wrong-but-secret" not in f"{refused.value} {down.value}"


def test_ducklake_catalog_of_another_home_is_refused(shared: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "lake").mkdir(parents=True)
    with pytest.raises(StoreError, match="STAR_HOME must be the same path on every machine"):
        Store(Home(tmp_path / "elsewhere")).rows("all_experiments")


def test_ducklake_empty_database_says_that_there_is_no_store(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_STORE", server.new_database("nothing"))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    with pytest.raises(StoreError, match="no store at ducklake:postgres:.*star run") as raised:
        Store(Home(tmp_path)).rows("all_experiments")
    assert PASSWORD not in str(raised.value)


def test_ducklake_of_another_program_is_refused_and_left_alone(
    shared: Store,
) -> None:
    with shared.transaction() as connection:
        connection.execute("UPDATE store_info SET product = 'accounts'")
    with pytest.raises(StoreError, match="not a store of star-pipeline; nothing was changed"):
        Store(shared.home).migrate()
