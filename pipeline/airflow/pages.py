"""The pages of `star ui` behind Airflow's log-in: readers of the rounds' DAG see, its editors flag."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Request

from pipeline.airflow import ROUNDS
from pipeline.paths import Home
from pipeline.ui.app import create_app


def _remember(request: Request, user: GetUserDep) -> None:
    request.state.star_author = user.get_name()


def _author(request: Request) -> str:
    return str(request.state.star_author)


# A plugin's app is not authenticated by itself.
app = create_app(
    Home.from_environment(),
    author=_author,
    hosts=None,
    may_see=(requires_access_dag("GET", param_dag_id=ROUNDS), _remember),
    may_flag=(requires_access_dag("PUT", param_dag_id=ROUNDS),),
    framed=True,
)
