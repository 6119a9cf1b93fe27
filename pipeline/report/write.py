"""Writes reports into the home: `index.html`, and the plots (their light version) as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.paths import Home, write_atomically
from pipeline.report import html, plots
from pipeline.report.data import ReportData, gather
from pipeline.store import Store


def write_report(home: Home, experiment: str) -> Path:
    """Write the report of an experiment; returns its page. A report that is there is replaced."""
    data = gather(Store(home), home, experiment)
    drawn = {theme.name: plots.all_plots(data, theme) for theme in plots.THEMES}
    folder = home.reports(experiment)
    return _write(folder, "index.html", html.experiment_page(data, drawn), drawn["light"])


def write_comparison(home: Home, arms: Mapping[str, str]) -> Path:
    """Write the reports of several experiments (title -> name) and a page that shows them side by side.

    The page lies in the report folder of the first.
    """
    store = Store(home)
    gathered: dict[str, ReportData] = {}
    for title, experiment in arms.items():
        write_report(home, experiment)
        gathered[title] = gather(store, home, experiment)
    first = next(iter(gathered.values()))
    measured = {title: data.measured for title, data in gathered.items() if data.measured}
    drawn = {
        theme.name: {"accuracy": plots.accuracy(measured, first.split or "", theme)} if measured else {}
        for theme in plots.THEMES
    }
    page = html.comparison_page(gathered, drawn)
    named = {f"comparison-{name}": png for name, png in drawn["light"].items()}
    return _write(home.reports(first.experiment), "comparison.html", page, named)


def _write(folder: Path, name: str, page: str, pngs: Mapping[str, bytes]) -> Path:
    for plot, png in pngs.items():
        write_atomically(folder / f"{plot}.png", png)
    path = folder / name
    write_atomically(path, page.encode("utf-8"))
    return path
