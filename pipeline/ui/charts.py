"""Plots of an experiment's rounds, drawn once for the same numbers: their digest is part of the address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.load import validate
from pipeline.identity import digest
from pipeline.report import plots
from pipeline.report.data import ReportData
from pipeline.report.plots import Theme
from pipeline.ui.site import Remembered, Site

THEMES = {theme.name: theme for theme in plots.THEMES}
_drawn = Remembered(128)
_drawing = threading.Lock()  # matplotlib's fonts and caches are not made for threads


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot of a page: its name in the address, and what somebody is told who does not see it."""

    name: str
    alt: str
    draw: Callable[[Theme], bytes]


@dataclass(frozen=True, slots=True)
class Charts:
    """The plots of an experiment; `digest` is that of their numbers."""

    digest: str
    charts: Mapping[str, Chart]

    def png(self, name: str, theme: str) -> bytes:
        """The plot as PNG. KeyError for an unknown name or theme."""
        chart, colours = self.charts[name], THEMES[theme]

        def draw() -> bytes:
            with _drawing:
                return chart.draw(colours)

        image: bytes = _drawn.get((self.digest, name, theme), draw)
        return image


def numbers(site: Site, experiment: str) -> ReportData:
    """The rows that the rounds page and its plots show."""
    recorded = site.experiment(experiment)

    def report(name: str) -> list[dict[str, Any]]:
        return site.summary(f"reports/{name}", experiment=experiment)

    return ReportData(
        experiment=experiment,
        config=validate(recorded["config"], source=f"the recorded config of experiment {experiment}"),
        recorded=recorded,
        rounds=site.summary("rounds_summary", experiment=experiment),
        accuracies=report("accuracy_by_round"),
        yields=report("yield_by_round"),
        fates=report("fates_by_round"),
        rejections=report("rejections"),
        timings=report("stage_timings"),
    )


def charts_of(data: ReportData, lengths: list[dict[str, Any]]) -> Charts:
    """The plots that there are numbers for."""
    rounds, found = data.rounds, list[Chart]()

    def add(name: str, alt: str, draw: Callable[[Theme], bytes]) -> None:
        found.append(Chart(name, alt, draw))

    if data.measured:
        ends = data.measured[0], data.measured[-1]
        told = " to ".join(f"{end[1]:.1%} in round {end[0]}" for end in dict.fromkeys(ends))
        add(
            "accuracy",
            f"Held-out accuracy ({data.split}) by round with its interval: {told}",
            lambda theme: plots.accuracy({data.experiment: data.measured}, data.split or "", theme),
        )
    if any(row["round"] > 0 and row["problems"] for row in rounds):
        add(
            "yield",
            "Problems of each round solved unaided, with the hint, and not",
            lambda theme: plots.yields(rounds, theme),
        )
    if data.fates:
        add(
            "fates",
            "Attempts of each round kept, and left out by reason",
            lambda theme: plots.fates(data.fates, theme),
        )
    if any(row["training_rows"] for row in rounds):
        add(
            "origins",
            "Shares of generated and rationalized training rows by round",
            lambda theme: plots.origins(rounds, theme),
        )
    if lengths:
        add(
            "lengths",
            "Median completion tokens by round and origin",
            lambda theme: plots.lengths(lengths, theme),
        )
    if data.timings:
        add(
            "cost",
            "Seconds of each round by kind of work",
            lambda theme: plots.spent(data.timings, theme),
        )
    shown = [data.rounds, data.fates, lengths, data.timings]
    return Charts(digest([_plain(rows) for rows in shown])[:16], {chart.name: chart for chart in found})


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without times, which no plot shows."""
    return [{key: value for key, value in row.items() if not key.endswith("_at")} for row in rows]
