"""Read-only queries on a snapshot: analysts never touch the store itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import StoreError
from pipeline.store.connection import MEMORY_LIMIT, cancelled_when_interrupted


def query(
    snapshot: Path, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a query on the snapshot: read-only, no files, no network, no settings."""
    try:
        connection = duckdb.connect(
            str(snapshot),
            read_only=True,
            config={
                "memory_limit": MEMORY_LIMIT,
                "enable_external_access": False,
                "lock_configuration": True,
            },
        )
        try:
            with cancelled_when_interrupted(connection):
                cursor = connection.execute(
                    sql, parameters if isinstance(parameters, Mapping) else list(parameters)
                )
                return [column[0] for column in cursor.description or []], cursor.fetchall()
        finally:
            connection.close()
    except duckdb.Error as error:
        raise StoreError(
            f'query failed: {error}\nthe snapshot is read-only; `star sql "show tables"` lists what there is'
        ) from None
