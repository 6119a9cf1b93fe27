"""Create a store, or bring an older one up to this code: sql/migrations/ in order, then sql/views/."""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb

from pipeline.errors import StoreError
from pipeline.identity import digest
from pipeline.paths import package_data
from pipeline.store.connection import attached, connect
from pipeline.store.lock import file_lock
from pipeline.store.tables import utc_now

PRODUCT = "star-pipeline"
# With the default storage version, compressed text is silently stored uncompressed.
CREATE_OPTION = "STORAGE_VERSION 'v1.5.0'"
_NUMBERED = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


def migrate(path: Path) -> None:
    """Create the store at `path`, or upgrade it; nothing is written where it is current.

    Raises StoreError for a store newer than the code and for a file that is not one of ours.
    """
    if not path.exists():
        with file_lock(path, write=True):
            if not path.exists():
                create(path)
    if not is_current(path):
        with connect(path, write=True) as connection:
            _upgrade(connection, path)


def is_current(path: Path) -> bool:
    """Whether schema and views are those of this code. StoreError where it is newer, or not ours."""
    with connect(path, write=False) as connection:
        version, views = _recorded(connection, path)
    return version == code_version() and views == _views_digest()


def code_version() -> int:
    """The schema version this code knows: the highest number in sql/migrations/."""
    return max(version for version, _ in _migrations())


def create(path: Path) -> None:
    """An empty store at `path`, where no file is. The caller holds its lock."""
    # Made aside and renamed: a kill in the middle leaves no half-made store that looks like another's file.
    fresh = path.with_name(f"{path.name}.new{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with attached(fresh, CREATE_OPTION) as connection:
        _upgrade(connection, path)
    os.replace(fresh, path)


def _upgrade(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    present = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal"
    ).fetchone()
    version = _recorded(connection, path)[0] if present != (0,) else 0
    connection.execute("BEGIN")
    for number, file in _migrations():
        if number > version:
            connection.execute(file.read_text(encoding="utf-8"))
    for file in _view_files():
        connection.execute(file.read_text(encoding="utf-8"))
    if version == 0:
        connection.execute("INSERT INTO store_info VALUES (?, 0, NULL, ?)", [PRODUCT, utc_now()])
    connection.execute(
        "UPDATE store_info SET schema_version = ?, views_digest = ?", [code_version(), _views_digest()]
    )
    connection.execute("COMMIT")


def _recorded(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str | None]:
    try:
        rows = connection.execute("SELECT product, schema_version, views_digest FROM store_info").fetchall()
    except duckdb.CatalogException:
        rows = []
    if len(rows) != 1 or rows[0][0] != PRODUCT:
        raise StoreError(
            f"{path} is a DuckDB file, but not a store of {PRODUCT}; nothing was changed in it: "
            "move it away or set STAR_HOME elsewhere"
        )
    version: int = rows[0][1]
    if version > code_version():
        raise StoreError(
            f"store {path} has schema version {version}, this code knows up to {code_version()}: it was "
            f"written by a newer {PRODUCT}; upgrade the package, or set STAR_HOME to another folder"
        )
    return version, rows[0][2]


def _migrations() -> list[tuple[int, Path]]:
    """(version, file), the portable files before the plain ones of the same version."""
    folder = package_data("sql") / "migrations"
    files = [*sorted(folder.glob("*.sql")), *sorted((folder / "plain").glob("*.sql"))]
    numbered = [(match, file) for file in files if (match := _NUMBERED.match(file.name))]
    return sorted(((int(match[1]), file) for match, file in numbered), key=lambda item: item[0])


def _view_files() -> list[Path]:
    """Files are named in the order they build on each other: a number, then the view's name."""
    return sorted((package_data("sql") / "views").glob("*.sql"))


def _views_digest() -> str:
    return digest([file.read_text(encoding="utf-8") for file in _view_files()])
