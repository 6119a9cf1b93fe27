"""The store as a DuckLake that several machines share: Parquet files in the home, their catalog in Postgres.

One writer at a time, as with a file, but by an advisory lock of the catalog's database; readers wait for
nobody. Finer locks would gain nothing: every operation changes `stage_runs`, and of two transactions that
delete or update rows of one table at the same time DuckLake refuses the second, whichever rows they touch.
A lock ends with its connection, so a machine that vanishes holds nobody up for long.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipeline.config.store_url import SCHEME, StoreUrl
from pipeline.errors import StoreError
from pipeline.store.backend import SMALL_BYTES, STALE_AFTER_S, Compacted, Fill
from pipeline.store.connection import Attach, attached, explained, first_line, quoted, quoted_path
from pipeline.store.copying import Copied, copy_tables
from pipeline.store.migrations import upgrade
from pipeline.store.plain import PlainFile

if TYPE_CHECKING:
    import psycopg

LOCK_TIMEOUT_S = 300
FOLDER = "lake"
"""The data files' folder below the home."""
# How often a commit is checked again against what others committed meanwhile.
_RETRIES = 100
# A long query still reads files that were replaced meanwhile.
_KEPT_FOR = "INTERVAL 1 HOUR"
_EXTENSIONS = ("ducklake", "postgres_scanner")
_SECRET = "star_catalog"
_LOCK = int.from_bytes(hashlib.blake2b(b"star store", digest_size=8).digest(), signed=True)


class Lake:
    """A store in a DuckLake (see Backend): one database of Postgres and one home belong together."""

    dialect = "ducklake"

    def __init__(self, url: StoreUrl, home: Path) -> None:
        self.url = url
        self.home = home
        self.data = home / FOLDER

    def __str__(self) -> str:
        return str(self.url)

    def exists(self) -> bool:
        with self._catalog() as catalog:
            if _value(catalog, "SELECT to_regclass('ducklake_table')") is None:
                return False
            query = (
                "SELECT count(*) FROM ducklake_table WHERE table_name = 'store_info' AND end_snapshot IS NULL"
            )
            return bool(_value(catalog, query))

    def create(self, fill: Fill) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with self._writing():
            if not self.exists():
                with self._attached(create=True) as connection:
                    fill(connection)

    @contextmanager
    def connect(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """See Backend.connect; any number may read, also while one writes."""
        with self._writing() if write else nullcontext(), self._attached() as connection:
            yield connection

    def snapshot(self, target: Path, max_age_s: float) -> None:
        """See Backend.snapshot: a DuckDB file of all rows, as of one moment of the lake."""
        if target.exists() and (
            time.time() - target.stat().st_mtime < max_age_s or _taken_of(target) == self._moment()
        ):
            return
        plain = PlainFile(target)

        def fill(connection: duckdb.DuckDBPyConnection) -> None:
            upgrade(connection, plain)
            self.attach(connection, "lake")
            try:
                connection.execute("BEGIN")
                connection.execute(
                    "CREATE TABLE lake_snapshot AS SELECT id FROM ducklake_current_snapshot('lake')"
                )
                copy_tables(connection, "lake", "store")
                connection.execute("COMMIT")
            finally:
                connection.execute("DETACH lake")

        plain.write_anew(fill, f"tmp-{socket.gethostname()}-")

    def snapshot_age(self, target: Path) -> float:
        return STALE_AFTER_S if target.exists() and target.stat().st_size > SMALL_BYTES else 0.0

    def compact(self, copied: Copied) -> Compacted:
        """See Backend.compact: small files are merged, and those of replaced rows deleted an hour later."""
        before = self._bytes()
        with self.connect(write=True) as connection:
            connection.execute("CALL ducklake_flush_inlined_data('store')")
            connection.execute("CALL ducklake_rewrite_data_files('store')")
            connection.execute("CALL ducklake_merge_adjacent_files('store')")
            for old in ("ducklake_expire_snapshots", "ducklake_cleanup_old_files"):
                connection.execute(f"SELECT count(*) FROM {old}('store', older_than => now() - {_KEPT_FOR})")
        return Compacted(before, self._bytes())

    def still(self) -> AbstractContextManager[None]:
        return self._writing()

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        self._attach(name, "READ_ONLY")(connection)

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in self.data.rglob("*.parquet"))

    def _moment(self) -> int:
        """Number of the lake's newest snapshot: each change makes one."""
        with self._catalog() as catalog:
            return int(_value(catalog, "SELECT max(snapshot_id) FROM ducklake_snapshot"))

    @contextmanager
    def _attached(self, *, create: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        # It stays attached for a while: to attach a lake takes ten times as long as to ask it something.
        option = f"CREATE_IF_NOT_EXISTS {create}"
        with (
            attached(self._attach("store", option), self.home, keep_as=f"{self} {self.data}") as connection,
            explained(self, "look whether its Postgres answers and the disk of the home is full"),
        ):
            yield connection

    def _attach(self, name: str, option: str) -> Attach:
        def attach(connection: duckdb.DuckDBPyConnection) -> None:
            for extension in _EXTENSIONS:
                connection.execute(f"LOAD {quoted_path(_extension_file(extension))}")
            connection.execute(f"SET ducklake_max_retry_count = {_RETRIES}")
            # Not in the ATTACH statement, which messages quote.
            password = self.url.password()
            secret = f"CREATE OR REPLACE TEMPORARY SECRET {_SECRET} (TYPE postgres"
            if password is None:
                connection.execute(f"{secret})")
            else:
                connection.execute(f"{secret}, PASSWORD $password)", {"password": password})
            try:
                connection.execute(
                    f"ATTACH {quoted(SCHEME + self.url.conninfo)} AS {name} "
                    f"(DATA_PATH {quoted_path(self.data)}, META_SECRET {_SECRET}, {option})"
                )
            except duckdb.Error as error:
                raise StoreError(
                    f"store {self} cannot be opened: {first_line(error)}{self._hint(error)}"
                ) from None

        return attach

    def _hint(self, error: duckdb.Error) -> str:
        if "DATA_PATH" in str(error):
            return (
                f"; its data are not those of {self.data}: STAR_HOME must be the same path on every machine"
            )
        return ""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer; StoreError naming the one that does not let go within `LOCK_TIMEOUT_S`."""
        import psycopg

        with self._catalog() as catalog:
            catalog.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
            try:
                catalog.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            except psycopg.errors.LockNotAvailable:
                raise StoreError(
                    f"the lock of store {self} was not free within {LOCK_TIMEOUT_S} s (held by "
                    f"{_lock_holder(catalog)}); a stage holds it for seconds only: look whether that process "
                    "is stopped, then run again"
                ) from None
            yield

    @contextmanager
    def _catalog(self) -> Iterator[psycopg.Connection[Any]]:
        """A session of the catalog's database, for what is not DuckDB's: the lock, and what is there."""
        import psycopg

        who = f"star {os.getpid()} on {socket.gethostname()}"[:63]
        try:
            session = psycopg.connect(
                self.url.conninfo, password=self.url.password(), application_name=who, autocommit=True
            )
        except psycopg.OperationalError as error:
            raise StoreError(
                f"the catalog of store {self} cannot be reached: {str(error).strip()}; look whether Postgres "
                "runs there, then run again"
            ) from None
        with session:
            yield session


def _value(catalog: psycopg.Connection[Any], query: str) -> Any:
    row = catalog.execute(query.encode()).fetchone()
    return row[0] if row else None


def _lock_holder(catalog: psycopg.Connection[Any]) -> str:
    return str(
        _value(
            catalog,
            "SELECT string_agg(application_name, ', ') FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND pg_locks.database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    )


def _taken_of(snapshot: Path) -> int | None:
    """Of which moment of the lake a snapshot is; None where it is not one of a lake."""
    try:
        with duckdb.connect(str(snapshot), read_only=True) as connection:
            row = connection.execute("SELECT id FROM lake_snapshot").fetchone()
            return int(row[0]) if row else None
    except duckdb.Error:
        return None


def _extension_file(name: str) -> Path:
    """The extension that came with the package `duckdb-extension-NAME`: nothing is downloaded."""
    package = importlib.import_module(f"duckdb_extension_{name}")
    folder = Path(str(package.__file__)).parent / "extensions" / f"v{duckdb.__version__}"
    file = folder / f"{name}.duckdb_extension"
    if not file.is_file():
        raise StoreError(
            f"no DuckDB extension {name} for DuckDB {duckdb.__version__} at {folder}; run: "
            f"pip install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        )
    return file
