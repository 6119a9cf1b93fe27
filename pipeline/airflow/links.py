"""Links from a task to the experiment's page, to the attempts of its round, and to the run it triggered."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperatorLink, conf

from pipeline.airflow import PAGES, ROUNDS


def _airflow(path: str) -> str:
    return str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/") + path


@attrs.define()
class ReportLink(BaseOperatorLink):  # type: ignore[misc, unused-ignore]
    """To the experiment's rounds, as they stand when the link is followed."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return _airflow(f"{PAGES}/experiments/{quote(operator.experiment)}")


@attrs.define()
class RowsLink(BaseOperatorLink):  # type: ignore[misc, unused-ignore]
    """To what was written in the task's round, with verdicts and fates."""

    name = "Rows of the round"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return _airflow(
            f"{PAGES}/experiments/{quote(operator.experiment)}/rationales?round={int(operator.round_)}"
        )


@attrs.define()
class RoundRunLink(BaseOperatorLink):  # type: ignore[misc, unused-ignore]
    """To the run of the next round, where one was triggered."""

    name = "Next round"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        if operator.triggered is None:
            return ""
        return _airflow(f"/dags/{ROUNDS}/runs/{quote(operator.triggered)}")
