"""Run the named queries of sql/: bound parameters in, plain Python rows out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import duckdb

from pipeline.errors import StoreError
from pipeline.paths import package_data

_NAME = re.compile(r"^[a-z0-9_]+$")
FOLDERS = ("queries", "reports", "checks", "views")


@cache
def query_text(name: str) -> str:
    """The SQL of `name`: a file of sql/queries/, or of another folder named before it (`checks/orphans`)."""
    folder, _, stem = name.rpartition("/")
    folder = folder or "queries"
    if folder not in FOLDERS or not _NAME.match(stem):
        raise StoreError(
            f"query name {name!r} is not valid; expected a file of sql/{{{','.join(FOLDERS)}}}/ without .sql"
        )
    file = package_data("sql") / folder / f"{stem}.sql"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.sql")))
        raise StoreError(f"no query {name!r} in sql/{folder}/; there are: {known}")
    return file.read_text(encoding="utf-8")


def check_parameters(name: str, sql: str, given: Mapping[str, Any]) -> None:
    """StoreError when the given parameters are not exactly those that the query names."""
    (statement,) = duckdb.extract_statements(sql)
    wanted = set(statement.named_parameters)
    if wanted != set(given):
        raise StoreError(f"query {name} takes the parameters {sorted(wanted)}, not {sorted(given)}")


def fetch(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """All rows of a query as dicts, JSON columns as Python values."""
    cursor = connection.execute(sql, dict(parameters))
    names = [column[0] for column in cursor.description]
    json_columns = [index for index, column in enumerate(cursor.description) if str(column[1]) == "JSON"]
    return [dict(zip(names, _parsed(row, json_columns), strict=True)) for row in cursor.fetchall()]


def _parsed(row: tuple[Any, ...], json_columns: list[int]) -> tuple[Any, ...]:
    if not json_columns:
        return row
    values = list(row)
    for index in json_columns:
        if values[index] is not None:
            values[index] = json.loads(values[index])
    return tuple(values)
