"""Two pages behind Airflow's own log-in: an experiment's report, and what was written in a round."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response

from pipeline.airflow import ROUNDS
from pipeline.airflow.child import run_star
from pipeline.paths import EXPERIMENT_NAME, Home

log = logging.getLogger(__name__)
_PATIENCE_S = 120.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Experiment = Annotated[str, Path(pattern=EXPERIMENT_NAME.pattern)]

# A plugin's app is not authenticated by itself: whoever may read the rounds' DAG may read these.
app = FastAPI(
    title="STaR pages",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_dag("GET", param_dag_id=ROUNDS))],
)


@app.get("/experiments/{experiment}/report")
def report(experiment: Experiment) -> Response:
    """The report as it stands now, made anew."""
    _star("report", experiment)
    page = Home.from_environment().reports(experiment) / "index.html"
    return Response(page.read_bytes(), media_type="text/html", headers=_HEADERS)


@app.get("/experiments/{experiment}/rounds/{round_}")
def rows(
    experiment: Experiment,
    round_: Annotated[int, Path(ge=0)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """What was written in a round, with verdicts and what became of it, as `star show` prints it."""
    text = _star("show", experiment, "--round", str(round_), "--limit", str(limit))
    return Response(text, media_type="text/plain; charset=utf-8", headers=_HEADERS)


def _star(*arguments: str) -> str:
    """What `star ARGUMENTS` printed; 404 with its message where it refused."""
    lines: list[str] = []
    told: Any = run_star(arguments, say=lines.append, grace_s=2.0, timeout_s=_PATIENCE_S)
    if told.exit_code != 0:
        raise HTTPException(404, told.last_lines or f"star {arguments[0]} failed")
    return "\n".join(lines)
