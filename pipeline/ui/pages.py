"""Pages of experiments: the overview, the rounds of one, its problems, and two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from pipeline.errors import ConfigError, NotReadyError
from pipeline.measures import paired_difference, wilson
from pipeline.report.html import lead
from pipeline.report.tables import ROUND_COLUMNS, round_cells
from pipeline.ui.charts import charts_of, numbers
from pipeline.ui.filters import number, word
from pipeline.ui.site import Site, site_of

router = APIRouter()
PROBLEMS = 50
_SHOWN_PAIRS = 100
_MOST_ATTEMPTS = 500
STATES = ("solved", "forgotten", "hinted", "never")


@router.get("/")
def overview(request: Request) -> HTMLResponse:
    """All experiments, newest first."""
    site = site_of(request)
    experiments = site.summary("experiments_status") if site.store.exists() else []
    return site.page(request, "overview", experiments=experiments)


@router.get("/experiments/{experiment}")
def rounds(request: Request, experiment: str) -> HTMLResponse:
    """The rounds of an experiment: what came out, plots, and the tables behind them."""
    site = site_of(request)
    data = numbers(site, experiment)
    charts = charts_of(data, site.summary("ui_lengths", experiment=experiment))
    return site.page(
        request,
        "rounds",
        experiment=experiment,
        description=data.config.description,
        lead=lead(data),
        charts=charts,
        columns=ROUND_COLUMNS,
        rounds=[(row, round_cells(row)) for row in data.rounds],
        further=data.further,
        yields=data.yields,
        rejections=data.rejections,
        costs=_costs(data.rounds),
        timings=data.timings,
        recorded=data.recorded,
    )


@router.get("/experiments/{experiment}/plots/{digest}/{name}-{theme}.png")
def plot(request: Request, experiment: str, digest: str, name: str, theme: str) -> Response:
    """A plot of the rounds page; one whose digest is today's never changes."""
    site = site_of(request)
    charts = charts_of(numbers(site, experiment), site.summary("ui_lengths", experiment=experiment))
    try:
        image = charts.png(name, theme)
    except KeyError:
        raise HTTPException(404, f"There is no plot {name!r} in {theme!r}.") from None
    kept = "private, max-age=31536000, immutable" if digest == charts.digest else "no-store"
    return Response(image, media_type="image/png", headers={"Cache-Control": kept})


@router.get("/experiments/{experiment}/problems")
def problems(request: Request, experiment: str) -> HTMLResponse:
    """The problems that were trained on, by when they were solved."""
    site = site_of(request)
    site.experiment(experiment)
    state, first_round = word(request.query_params, "state"), number(request.query_params, "first_round")
    if state not in (None, *STATES):
        raise ConfigError(f"state {state!r}: expected one of {', '.join(STATES)}")
    page = max(1, number(request.query_params, "page") or 1)
    rows = site.summary(
        "ui_problems",
        experiment=experiment,
        state=state,
        first_round=first_round,
        limit=PROBLEMS,
        offset=(page - 1) * PROBLEMS,
    )
    return site.page(
        request,
        "problems",
        experiment=experiment,
        problems=rows,
        matching=rows[0]["matching"] if rows else 0,
        states=STATES,
        state=state,
        first_round=first_round,
        page=page,
        size=PROBLEMS,
    )


@router.get("/experiments/{experiment}/problem")
def problem(request: Request, experiment: str) -> HTMLResponse:
    """One problem through the rounds; its id is the parameter `id`, for it may be any text."""
    site = site_of(request)
    site.experiment(experiment)
    problem_id = word(request.query_params, "id") or ""
    found = site.rows("ui_problem", experiment=experiment, problem_id=problem_id)
    if not found:
        raise NotReadyError(f"experiment {experiment} has no problem {problem_id!r}")
    attempts = site.rows(
        "ui_problem_attempts", experiment=experiment, problem_id=problem_id, limit=_MOST_ATTEMPTS
    )
    by_round: dict[int, list[dict[str, Any]]] = {}
    for row in attempts:
        by_round.setdefault(row["round"], []).append(row)
    return site.page(
        request,
        "problem",
        experiment=experiment,
        problem=found[0],
        by_round=by_round,
        cut=len(attempts) == _MOST_ATTEMPTS,
        most=_MOST_ATTEMPTS,
    )


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Two experiments on the same problems; without parameters, the form that asks for them."""
    site = site_of(request)
    names = [row["experiment"] for row in site.summary("experiments_status")]
    query = request.query_params
    first, second = word(query, "first"), word(query, "second")
    compared = None
    if first and second:
        compared = _compared(site, first, second, query)
    return site.page(
        request,
        "compare",
        names=names,
        first=first,
        second=second,
        compared=compared,
        asked=query,
        shown=_SHOWN_PAIRS,
    )


def _costs(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per round: sampled tokens, kept rationales, tokens and seconds for each."""
    rows = []
    for row in rounds:
        kept = row["training_rows"] - row["reused_rows"] - row["replay_rows"]
        rows.append(
            {
                "round": row["round"],
                "tokens": row["sampled_tokens"],
                "kept": kept,
                "tokens_each": row["sampled_tokens"] / kept if kept else None,
                "seconds": row["seconds"],
                "cut_off": row["cut_off"],
                "ungraded": row["ungraded"],
            }
        )
    return rows


def _compared(site: Site, first: str, second: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Accuracies of both, their paired difference, and the problems on which they differ."""
    split = word(query, "split") or "eval"
    arms = [
        _arm(site, name, number(query, f"{which}_round"), split)
        for which, name in (("first", first), ("second", second))
    ]
    rows: list[dict[str, Any]] = []
    if all(arm["style"] for arm in arms):
        rows = site.rows(
            "ui_paired",
            split=split,
            first=first,
            first_round=arms[0]["round"],
            first_style=arms[0]["style"],
            second=second,
            second_round=arms[1]["round"],
            second_style=arms[1]["style"],
        )
    before, after = [row["first_correct"] for row in rows], [row["second_correct"] for row in rows]
    return {
        "split": split,
        "arms": arms,
        "problems": len(rows),
        "shares": [wilson(sum(each), len(each)) for each in (before, after)],
        "difference": paired_difference(before, after),
        "only_first": [row for row in rows if row["first_correct"] and not row["second_correct"]],
        "only_second": [row for row in rows if row["second_correct"] and not row["first_correct"]],
        "both": sum(one and two for one, two in zip(before, after, strict=True)),
    }


def _arm(site: Site, name: str, round_: int | None, split: str) -> dict[str, Any]:
    """The round that is meant, or else the last that was measured on the split, and its prompt style."""
    site.experiment(name)
    measured = {
        row["round"]: row[f"{split}_prompt_style"]
        for row in site.summary("rounds_summary", experiment=name)
        if row.get(f"{split}_accuracy") is not None
    }
    chosen = round_ if round_ is not None else max(measured, default=None)
    return {"experiment": name, "round": chosen, "style": measured.get(chosen), "rounds": sorted(measured)}
