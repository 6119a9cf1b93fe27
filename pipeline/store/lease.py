"""Who is running an experiment: a row with a heartbeat, so that a second starter is told and leaves.

A lease expires when it was not renewed in time, and is free at once where its holder's process on this host
is gone. A process that lost its lease (stopped for longer than it lasts) is refused its next begin or commit.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import psutil

from pipeline.errors import LeaseHeldError, StoreError
from pipeline.store.tables import utc_now

LEASE_TTL_S = 90.0

Transaction = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease; `scope` is empty for the whole experiment, else a part (`round-2/generate/1-of-4`).

    `within` is the holder of a lease on the whole, which gave this part of its work away.
    """

    experiment: str
    scope: str
    what: str
    within: str | None = None
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)


@contextmanager
def hold(transaction: Transaction, lease: Lease, ttl_s: float = LEASE_TTL_S) -> Iterator[Lease]:
    """Take the lease, renew it from a thread every third of `ttl_s` seconds, give it back on the way out.

    Raises LeaseHeldError when a living holder has it. A lease on the whole experiment and one on a part of it
    exclude each other; leases on different parts do not.
    """
    with transaction() as connection:
        _take(connection, lease, ttl_s)
    stop = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(transaction, lease, ttl_s, stop), name="lease", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
        with transaction() as connection:
            connection.execute("DELETE FROM leases WHERE holder = ?", [lease.holder])


def require(connection: duckdb.DuckDBPyConnection, lease: Lease) -> None:
    """LeaseHeldError when the lease is no longer ours: another process took it over after it had expired."""
    if connection.execute("SELECT 1 FROM leases WHERE holder = ?", [lease.holder]).fetchone() is None:
        others = _others(connection, lease)
        taken_by = f"; now {_describe(others[0])}" if others else ""
        raise LeaseHeldError(
            f"experiment {lease.experiment}: this process lost its lease ({lease.what}) because it was "
            f"stopped for longer than the lease lasts{taken_by}; nothing was committed: "
            "run the same command again"
        )


def is_living(row: Mapping[str, Any]) -> bool:
    """Whether a row of the table leases still binds: not expired, its holder not known to be gone."""
    return bool(row["expires_at"] > utc_now()) and _may_live(row)


def refuse_living(row: Mapping[str, Any]) -> None:
    """LeaseHeldError, naming the holder, where a row of the table leases still binds."""
    if is_living(row):
        raise LeaseHeldError(
            f"experiment {row['experiment']} is being run: {_describe(row)}; wait for it or stop it "
            f"(a holder that died on another host is given up at {row['expires_at']:%H:%M:%S} UTC)"
        )


def _take(connection: duckdb.DuckDBPyConnection, lease: Lease, ttl_s: float) -> None:
    now = utc_now()
    for other in _others(connection, lease):
        refuse_living(other)
        connection.execute("DELETE FROM leases WHERE holder = ?", [other["holder"]])
    connection.execute(
        "INSERT INTO leases (experiment, scope, holder, host, pid, pid_started, what, acquired_at, "
        "renewed_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            lease.experiment,
            lease.scope,
            lease.holder,
            socket.gethostname(),
            os.getpid(),
            psutil.Process().create_time(),
            lease.what,
            now,
            now,
            now + timedelta(seconds=ttl_s),
        ],
    )


def _others(connection: duckdb.DuckDBPyConnection, lease: Lease) -> list[dict[str, Any]]:
    cursor = connection.execute(
        "SELECT * FROM leases WHERE experiment = $experiment AND holder <> $holder AND holder <> $within "
        "AND (scope = $scope OR scope = '' OR $scope = '') ORDER BY acquired_at",
        {
            "experiment": lease.experiment,
            "holder": lease.holder,
            "within": lease.within or lease.holder,
            "scope": lease.scope,
        },
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _may_live(row: Mapping[str, Any]) -> bool:
    """False only where the holder ran on this host and its process is gone, or its number is another's."""
    if row["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(row["pid"])
        same = abs(process.create_time() - row["pid_started"]) < 1.0
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _describe(row: Mapping[str, Any]) -> str:
    since: datetime = row["acquired_at"]
    return f"{row['what']} by process {row['pid']} on {row['host']} since {since:%Y-%m-%d %H:%M:%S} UTC"


def _renew(transaction: Transaction, lease: Lease, ttl_s: float, stop: threading.Event) -> None:
    while not stop.wait(ttl_s / 3):
        now = utc_now()
        try:
            with transaction() as connection:
                connection.execute(
                    "UPDATE leases SET renewed_at = ?, expires_at = ? WHERE holder = ?",
                    [now, now + timedelta(seconds=ttl_s), lease.holder],
                )
        except (StoreError, duckdb.Error):
            continue  # the store was busy or its disk full: the next renewal, begin or commit says so
