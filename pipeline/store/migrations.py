"""Create a store, or bring an older one up to this code: sql/migrations/ in order, then sql/views/."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from pipeline.errors import StoreError
from pipeline.identity import digest
from pipeline.paths import package_data
from pipeline.store.backend import Backend
from pipeline.store.tables import utc_now

PRODUCT = "star-pipeline"
DIALECTS = ("plain", "ducklake")
_NUMBERED = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


def migrate(backend: Backend) -> None:
    """Create the store, or upgrade it; nothing is written where it is current.

    Raises StoreError for a store newer than the code and for a place that is not one of ours.
    """
    if not backend.exists():
        backend.create(lambda connection: upgrade(connection, backend))
    if not is_current(backend):
        with backend.connect(write=True) as connection:
            upgrade(connection, backend)


def is_current(backend: Backend) -> bool:
    """Whether schema and views are those of this code. StoreError where it is newer, or not ours."""
    with backend.connect(write=False) as connection:
        version, views = _recorded(connection, backend)
    return version == code_version() and views == _views_digest()


def code_version() -> int:
    """The schema version this code knows: the highest number in sql/migrations/."""
    return max(version for dialect in DIALECTS for version, _ in _migrations(dialect))


def upgrade(connection: duckdb.DuckDBPyConnection, backend: Backend) -> None:
    """Bring the store, empty at first, to this code's schema and views, in one transaction."""
    present = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal"
    ).fetchone()
    version = _recorded(connection, backend)[0] if present != (0,) else 0
    connection.execute("BEGIN")
    for number, file in _migrations(backend.dialect):
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


def _recorded(connection: duckdb.DuckDBPyConnection, backend: Backend) -> tuple[int, str | None]:
    try:
        rows = connection.execute("SELECT product, schema_version, views_digest FROM store_info").fetchall()
    except duckdb.CatalogException:
        rows = []
    if len(rows) != 1 or rows[0][0] != PRODUCT:
        raise StoreError(
            f"{backend} is not a store of {PRODUCT}; nothing was changed in it: "
            "move it away or set STAR_HOME elsewhere"
        )
    version: int = rows[0][1]
    if version > code_version():
        raise StoreError(
            f"store {backend} has schema version {version}, this code knows up to {code_version()}: it was "
            f"written by a newer {PRODUCT}; upgrade the package, or set STAR_HOME to another folder"
        )
    return version, rows[0][2]


def _migrations(dialect: str) -> list[tuple[int, Path]]:
    """(version, file), the portable files before those of the dialect of the same version."""
    folder = package_data("sql") / "migrations"
    files = [*sorted(folder.glob("*.sql")), *sorted((folder / dialect).glob("*.sql"))]
    numbered = [(match, file) for file in files if (match := _NUMBERED.match(file.name))]
    return sorted(((int(match[1]), file) for match, file in numbered), key=lambda item: item[0])


def _view_files() -> list[Path]:
    """Files are named in the order they build on each other: a number, then the view's name."""
    return sorted((package_data("sql") / "views").glob("*.sql"))


def _views_digest() -> str:
    return digest([file.read_text(encoding="utf-8") for file in _view_files()])
