"""The store: the only door to the tables. Connections are short, and nothing keeps one open."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from pipeline.config.site import load_site
from pipeline.config.store_url import StoreUrl
from pipeline.errors import NotReadyError, StoreError
from pipeline.paths import Home
from pipeline.store import commits, flags, journal, lease, migrations, operations, queries
from pipeline.store.answers import Answer, answer
from pipeline.store.backend import Backend
from pipeline.store.commits import RunSummary, StageKey, StageState
from pipeline.store.connection import in_transaction
from pipeline.store.lease import Lease
from pipeline.store.plain import PlainFile
from pipeline.store.snapshot import SnapshotReader
from pipeline.store.tables import read_parquet_result, utc_now

URL_VARIABLE = "STAR_STORE"
# Small row groups: the default, 122,880 long texts a thread, does not fit into the memory limit.
_RESULT_FILE = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192"


def backend_of(home: Home) -> Backend:
    """Where a home's tables lie: in the DuckLake of STAR_STORE or the site's `store.url`, or in its file."""
    url = os.environ.get(URL_VARIABLE) or load_site(home).config.store.url
    if not url:
        return PlainFile(home.store_path)
    from pipeline.store.ducklake import Lake

    return Lake(StoreUrl.parse(url), home.root)


class Store:
    """The tables of a home. Cheap to make; safe to use from several threads and processes."""

    def __init__(self, home: Home, backend: Backend | None = None) -> None:
        """The store of a home; `backend` in place of the one that the environment and the site name."""
        self.home = home
        self.backend = backend or backend_of(home)
        self._verified = False
        self._leases: list[Lease] = []

    def migrate(self) -> None:
        """Create the store or bring it up to this code. StoreError: newer than the code, or not ours."""
        migrations.migrate(self.backend)
        self._verified = True

    def exists(self) -> bool:
        """Whether there is a store, or something in its place that is not ours."""
        return self.backend.exists()

    def __str__(self) -> str:
        """Where the store is, for messages."""
        return str(self.backend)

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of sql/queries/<name>.sql (or `reports/<name>`, `views/<name>`), JSON columns parsed.

        Parameters are named `$x` in the query. For large results, see `stream`.
        """
        sql = queries.query_text(name)
        queries.check_parameters(name, sql, parameters)
        with self.reading() as connection:
            return queries.fetch(connection, sql, parameters)

    def stream(self, name: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """As `rows`, one row at a time in bounded memory.

        The result goes to a temporary Parquet file first, so that nobody waits while the caller works.
        """
        sql = queries.query_text(name)
        queries.check_parameters(name, sql, parameters)
        folder = self.home.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            result = Path(temporary) / "result.parquet"
            with self.reading() as connection:
                body = sql.strip().rstrip(";")
                connection.execute(
                    f"COPY (\n{body}\n) TO $result_path ({_RESULT_FILE})",
                    {**parameters, "result_path": str(result)},
                )
            yield from read_parquet_result(result)

    def state(self, key: StageKey) -> StageState:
        """What is recorded of a stage: inputs, shards done, output digest once all are."""
        with self.reading() as connection:
            return commits.read_state(connection, key)

    def begin(
        self,
        key: StageKey,
        *,
        shard: int,
        shards: int,
        input_digest: str,
        host: str,
        device: str,
        versions: Mapping[str, str],
        force: bool = False,
    ) -> None:
        """Record that a shard of a stage runs.

        Where the stage was begun with another input digest or shard count, its rows in every table are marked
        superseded and its commits forgotten. `force` does so for this shard only: force every shard to redo
        the stage.
        """
        self._perform(
            key.experiment,
            do="begin",
            **key.parameters(),
            shard=shard,
            shards=shards,
            input_digest=input_digest,
            host=host,
            device=device,
            versions=dict(versions),
            force=force,
        )

    def commit(
        self,
        key: StageKey,
        *,
        shard: int,
        shards: int,
        input_digest: str,
        files: Mapping[str, Path],
        output_digest: str,
        summary: RunSummary,
    ) -> None:
        """Load the shard's files (table -> Parquet of `write_rows`) and record it as done, all or nothing.

        The same call again loads nothing. Raises StoreError when another run began the stage with other
        inputs since, and LeaseHeldError when this process lost its lease; nothing is written then.
        """
        described = commits.describe_files(self.home, files)
        self._perform(
            key.experiment,
            do="commit",
            **key.parameters(),
            shard=shard,
            shards=shards,
            input_digest=input_digest,
            files=[
                {"table": file.table, "path": file.stored_path, "sha256": file.sha256, "rows": file.rows}
                for file in described
            ],
            output_digest=output_digest,
            summary=asdict(summary),
        )

    def fail(self, key: StageKey, *, shard: int, error: str) -> None:
        """Record that the running execution of a shard failed, with what the user was told."""
        self._perform(None, do="fail", **key.parameters(), shard=shard, error=error)

    def put(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert or update rows of `experiments` or `rounds`; columns that are not named keep their value."""
        for row in rows:
            self._perform(None, do="put", table=table, row=dict(row))

    def fork(
        self,
        source: str,
        target: str,
        last_round: int,
        *,
        config: Mapping[str, Any] | None = None,
        config_digest: str | None = None,
    ) -> None:
        """Let the new experiment `target` stand on rounds 0 to `last_round` of `source`.

        All their current rows, commits and finished executions are copied, and the rounds get the status
        `forked`. Shard files stay where they are and serve both; checkpoints are expected in the target's
        folder, at the place they have in the source's (see pipeline/fork.py, which links them). The config is
        the source's where none is given. Raises NotReadyError where those rounds are not finished, StoreError
        where `target` exists.
        """
        self._perform(
            target,
            do="fork",
            source=source,
            target=target,
            last_round=last_round,
            config=None if config is None else dict(config),
            config_digest=config_digest,
        )

    def flag(self, experiment: str, rationale_id: str, *, kind: str, author: str, note: str = "") -> None:
        """Record that a person calls the verdict of an attempt wrong, or excludes it from training.

        `kind` is `wrong_verdict` or `exclude`. `select` leaves out the attempt, and what reads as it at the
        same problem in that round or a later one, and says who wanted it; a selection that was done is stale
        then. Raises ConfigError for another kind, an empty author or an over-long note, and NotReadyError for
        an attempt that the store does not have.
        """
        kind, author, note = flags.checked(kind, author, note)
        found = self.rows("attempt_flagged", experiment=experiment, rationale_id=rationale_id)
        if not found:
            raise NotReadyError(
                f"attempt {rationale_id!r} is not a current one of experiment {experiment!r}; "
                f"see what there is: star show {experiment}"
            )
        self._perform(None, do="flag", **found[0], kind=kind, author=author, note=note)

    def withdraw_flag(self, flag_id: str, *, author: str) -> None:
        """Take a flag back; it stays in `flags` with who did so and when. StoreError for an unknown one."""
        _, author, _ = flags.checked(flags.KINDS[0], author, "")
        found = self.rows("flag", flag_id=flag_id)
        experiment = found[0]["experiment"] if found else None
        self._perform(None, do="withdraw_flag", experiment=experiment, flag_id=flag_id, author=author)

    def remove(self, experiment: str, check: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Delete every row of an experiment, and the prompts that only it cites (see store/archive.py).

        `check` is given the connection first; nothing changes between it and the removal, and nothing is
        removed where it raises.
        """
        self._verify()
        entry = {"do": "remove", "experiment": experiment, "at": utc_now().isoformat()}
        with self.backend.connect(write=True) as connection:
            with in_transaction(connection):
                self._require_lease(connection, experiment)
                check(connection)
                operations.perform(connection, self.home, entry)
            # Only now: a rebuild passes over what was removed, which must not be what a failed COMMIT kept.
            journal.append(self.home.root / journal.NAME, entry)

    def restore(
        self, experiment: str, files: Sequence[Mapping[str, Any]], moved: Mapping[str, str] | None = None
    ) -> None:
        """Load the rows of an archived experiment from files in the home (see store/archive.py).

        `moved`: stored paths of shard files that lie at another place now.
        """
        self._perform(
            experiment,
            do="restore",
            experiment=experiment,
            files=[dict(file) for file in files],
            moved=dict(moved or {}),
        )

    @contextmanager
    def lease(
        self,
        experiment: str,
        what: str,
        *,
        scope: str = "",
        within: str | None = None,
        ttl_s: float = lease.LEASE_TTL_S,
    ) -> Iterator[Lease]:
        """Hold the experiment (or, with `scope`, a part of it) while the block runs.

        `within` names the holder of the whole who gave us this part. Raises LeaseHeldError naming host,
        process, since when and what, if another living holder has it.
        """
        with lease.hold(self.transaction, Lease(experiment, scope, what, within), ttl_s) as held:
            self._leases.append(held)
            try:
                yield held
            finally:
                self._leases.remove(held)

    def version(self) -> tuple[int, ...]:
        """Changes with everything that a stage or a person does: what was counted under it still holds.

        It is that of the journal, which every operation is written to wherever the tables lie.
        """
        path = self.home.root / journal.NAME
        if not path.exists():
            return ()
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size

    def snapshot(self, max_age_s: float = 0.0) -> Path:
        """The copy for analysts, made anew unless it is current or younger than `max_age_s` seconds."""
        self._verify()
        self.backend.snapshot(self.home.snapshot_path, max_age_s)
        return self.home.snapshot_path

    @contextmanager
    def reader(self) -> Iterator[SnapshotReader]:
        """A reader of the snapshot, which is refreshed first where that is cheap: for what may take long."""
        self._verify()
        path = self.snapshot(self.backend.snapshot_age(self.home.snapshot_path))
        with closing(SnapshotReader(path)) as opened:
            yield opened

    def query_readonly(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of any SQL on the snapshot, which is refreshed first where that is cheap."""
        with self.answer(sql, params) as found:
            return found.columns, list(found.rows())

    @contextmanager
    def answer(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[Answer]:
        """As `query_readonly`, its rows read or written to a file as they come, within the block."""
        self._verify()
        path = self.snapshot(self.backend.snapshot_age(self.home.snapshot_path))
        with answer(path, sql, params) as found:
            yield found

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-write connection in one transaction: committed at the end, rolled back on an exception."""
        self._verify()
        with self.backend.connect(write=True) as connection, in_transaction(connection):
            yield connection

    def _perform(self, leased: str | None, **entry: Any) -> None:
        """Do one operation and note it in the journal; `leased`: the experiment whose lease must be ours."""
        entry["at"] = utc_now().isoformat()
        with self.transaction() as connection:
            self._require_lease(connection, leased)
            operations.perform(connection, self.home, entry)
            journal.append(self.home.root / journal.NAME, entry)

    def _require_lease(self, connection: duckdb.DuckDBPyConnection, experiment: str | None) -> None:
        for held in self._leases:
            if held.experiment == experiment:
                lease.require(connection, held)

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A read-only connection for several queries in a row; `rows` is for one."""
        self._verify()
        return self.backend.connect(write=False)

    def _verify(self) -> None:
        """Once per process: the store exists, is ours, and is brought up to this code where it is older."""
        if self._verified:
            return
        if not self.exists():
            raise StoreError(
                f"no store at {self}; expected one made by `star run CONFIG` (is STAR_HOME right?)"
            )
        self.migrate()
