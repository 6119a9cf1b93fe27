"""The shipped reports: what sql/reports/ answers without anybody writing SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.errors import ConfigError
from pipeline.paths import package_data
from pipeline.store import queries


@dataclass(frozen=True, slots=True)
class Report:
    """One file of sql/reports/: its name, what a row is, what its columns mean, what it asks for."""

    name: str
    grain: str
    columns: str
    parameters: frozenset[str]

    @property
    def by_round(self) -> bool:
        """Whether its rows are of rounds."""
        return self.grain.startswith("round")

    def asked(self, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Its SQL, and the parameters it takes from those given (None: not given).

        With a `round` a report by round has the rows of that one. ConfigError where it needs a round and none
        is given, or takes no such parameter.
        """
        sql, taken = queries.query_text(f"reports/{self.name}"), self.parameters
        if given.get("round") is not None and self.by_round and "round" not in taken:
            body = sql.strip().rstrip(";")
            sql, taken = f"SELECT * FROM (\n{body}\n) WHERE round = $round", taken | {"round"}
        unused = sorted(name for name, value in given.items() if value is not None and name not in taken)
        if unused:
            takes = ", ".join(sorted(taken))
            raise ConfigError(f"report {self.name} has no parameter {unused[0]}; it takes {takes}")
        if "round" in taken and given.get("round") is None:
            raise ConfigError(f"report {self.name} is of one round; name it with --round N")
        return sql, {name: given.get(name) for name in taken}


def all_reports() -> list[Report]:
    """Every shipped report, by name."""
    files = sorted((package_data("sql") / "reports").glob("*.sql"))
    return [report_named(file.stem) for file in files]


def report_named(name: str) -> Report:
    """The report of that name; StoreError listing those there are."""
    sql = queries.query_text(f"reports/{name}")
    comment: list[str] = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        comment.append(line.removeprefix("--").strip())
    (statement,) = duckdb.extract_statements(sql)
    grain = comment[0].removeprefix("grain:").strip() if comment else ""
    return Report(name, grain, " ".join(comment[1:]), frozenset(statement.named_parameters))
