"""What migrate makes of nothing, of its own work, and of files that are not for it."""

from pathlib import Path

import duckdb
import pytest

from pipeline.errors import StoreError
from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.migrations import PRODUCT, code_version, is_current


def edit(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(statement)


def test_migrate_creates_a_store_with_the_storage_version_that_compresses_text(store: Store) -> None:
    with store.reading() as connection:
        info = connection.execute("SELECT product, schema_version FROM store_info").fetchall()
        tags = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'store'"
        ).fetchall()
    assert info == [(PRODUCT, code_version())]
    assert "v1.5" in str(tags)
    assert not list(store.home.root.glob("star.duckdb.new*"))


def test_migrate_again_writes_nothing(store: Store) -> None:
    before = store.home.store_path.stat().st_mtime_ns
    Store(store.home).migrate()
    assert store.home.store_path.stat().st_mtime_ns == before


def test_migrate_views_that_changed_are_made_anew(store: Store) -> None:
    edit(store.home.store_path, "DROP VIEW rounds_summary; UPDATE store_info SET views_digest = 'old'")
    assert not is_current(store.backend)
    again = Store(store.home)
    again.migrate()
    assert again.rows("rounds_summary", experiment="x") == []


def test_migrate_store_newer_than_the_code_is_refused_with_both_versions(store: Store) -> None:
    edit(store.home.store_path, "UPDATE store_info SET schema_version = 999")
    with pytest.raises(StoreError, match=f"version 999, this code knows up to {code_version()}.*upgrade"):
        Store(store.home).migrate()


@pytest.mark.parametrize("use", ["migrate", "rows", "snapshot"])
def test_store_of_another_program_is_refused_and_left_alone(tmp_path: Path, use: str) -> None:
    home = Home(tmp_path)
    edit(home.store_path, "CREATE TABLE accounts (id INTEGER)")
    with pytest.raises(StoreError, match="not a store of star-pipeline; nothing was changed"):
        {
            "migrate": Store(home).migrate,
            "rows": lambda: Store(home).rows("all_experiments"),
            "snapshot": Store(home).snapshot,
        }[use]()
    with duckdb.connect(str(home.store_path)) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("accounts",)]


def test_empty_duckdb_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    duckdb.connect(str(home.store_path)).close()
    with pytest.raises(StoreError, match="not a store of star-pipeline"):
        Store(home).migrate()


def test_file_that_is_not_duckdb_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.store_path.write_bytes(b"a diary" * 1000)
    with pytest.raises(StoreError, match="not a DuckDB file"):
        Store(home).migrate()
    assert home.store_path.read_bytes() == b"a diary" * 1000


def test_rows_without_a_store_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"no store at {tmp_path}/star.duckdb.*star run"):
        Store(Home(tmp_path)).rows("all_experiments")
    assert not (tmp_path / "star.duckdb").exists()
