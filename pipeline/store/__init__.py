"""The only place that opens DuckDB: tables, commits, leases, snapshots, checks."""

from pipeline.store.commits import RunSummary, StageKey, StageState
from pipeline.store.lease import Lease
from pipeline.store.snapshot import QueryStoppedError, SnapshotReader
from pipeline.store.store import Store
from pipeline.store.tables import TABLES, WrittenFile, read_rows, write_rows

__all__ = [
    "TABLES",
    "Lease",
    "QueryStoppedError",
    "RunSummary",
    "SnapshotReader",
    "StageKey",
    "StageState",
    "Store",
    "WrittenFile",
    "read_rows",
    "write_rows",
]
