"""Seconds that every shipped report, every query of a page and every page take."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from fastapi.testclient import TestClient

from benchmarks.store.apart import Seconds, measured, middle
from benchmarks.store.rows import Size
from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.queries import fetch
from pipeline.store.reports import all_reports
from pipeline.ui.app import create_app

EXPERIMENT = "made-0"
_LOCAL = "http://127.0.0.1:8321"


def reports(root: Path, round_: int, repeat: int) -> dict[str, Seconds]:
    """Median seconds of each report, whole and, where its rows are of rounds, of `round_` alone."""
    store = Store(Home(root))
    found = {}
    with duckdb.connect(str(store.snapshot()), read_only=True) as connection:
        for report in all_reports():
            if "round" not in report.parameters:
                found[report.name] = _seconds(
                    repeat, fetch, connection, *report.asked({"experiment": EXPERIMENT})
                )
            if report.by_round or "round" in report.parameters:
                asked = report.asked({"experiment": EXPERIMENT, "round": round_})
                found[f"{report.name} of a round"] = _seconds(repeat, fetch, connection, *asked)
    return found


def pages(root: Path, size: Size, repeat: int) -> dict[str, tuple[Seconds, Seconds]]:
    """Seconds of each page right after a commit, and median seconds of it from then on."""
    store = Store(Home(root))
    with store.reading() as connection:
        attempt, problem = connection.execute(
            "SELECT rationale_id, problem_id FROM current_training_rows WHERE experiment = ? AND round = ? "
            "ORDER BY rationale_id LIMIT 1",
            [EXPERIMENT, size.rounds],
        ).fetchall()[0]
    found = {}
    for name, address in _addresses(size, attempt, problem).items():
        app = create_app(store.home, author=lambda request: "somebody", hosts=None)
        with TestClient(app, base_url=_LOCAL) as client:
            first = _seconds(1, _get, client, address)
            found[name] = (first, _seconds(repeat, _get, client, address))
    return found


def search(root: Path) -> tuple[float, float, str]:
    """Seconds to the first bytes and to the end of a search for what nobody wrote, and what the page says."""
    app = create_app(Home(root), author=lambda request: "somebody", hosts=None)
    with TestClient(app, base_url=_LOCAL) as client:
        started = time.monotonic()
        address = f"/experiments/{EXPERIMENT}/rationales?text=xyzzyx"
        with client.stream("GET", address) as response:
            pieces = _timed(response.iter_text(), started)
            first, text = next(pieces)
            parts = [text, *(text for _, text in pieces)]
        ended = time.monotonic() - started
    told = re.search(r'id="end"[^>]*>(.*?)</li>', "".join(parts), re.DOTALL)
    return first, ended, " ".join(re.sub(r"<[^>]*>", "", told[1]).split()) if told else "nothing"


def _timed(pieces: Iterator[str], started: float) -> Iterator[tuple[float, str]]:
    for piece in pieces:
        yield time.monotonic() - started, piece


def _addresses(size: Size, attempt: str, problem: str) -> dict[str, str]:
    base, round_ = f"/experiments/{EXPERIMENT}", size.rounds
    return {
        "overview": "/",
        "rounds": base,
        "attempts of a round": f"{base}/rationales?round={round_}",
        "attempts, page 20 of a round": f"{base}/rationales?round={round_}&page=20",
        "attempts of a round, wrong": f"{base}/rationales?round={round_}&outcome=wrong",
        "attempts of a round, kept": f"{base}/rationales?round={round_}&fate=kept",
        "attempts of a round, flagged": f"{base}/rationales?round={round_}&flagged=yes",
        "attempts of all rounds": f"{base}/rationales",
        "an attempt": f"{base}/rationales/{attempt}",
        "problems": f"{base}/problems",
        "a problem": f"{base}/problem?id={problem}",
        "compare": f"/compare?first={EXPERIMENT}&second=made-{size.experiments - 1}&split=dev",
    }


def _get(client: TestClient, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 200, f"{address}: {response.status_code} {response.text[:500]}"
    assert response.content


def _seconds(repeat: int, ask: Callable[..., Any], *arguments: Any, **named: Any) -> Seconds:
    times: list[Seconds] = []
    for _ in range(repeat):
        with measured(times):
            ask(*arguments, **named)
    return middle(times)
