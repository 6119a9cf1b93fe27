"""Plots as PNG bytes, drawn without a display, in a light and a dark version."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.report.data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (7.6, 3.9)
_MOST_DIFFICULTIES = 10


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a plot."""

    name: str
    ground: str
    ink: str
    faint: str
    grid: str
    lines: tuple[str, ...]

    def line(self, index: int) -> str:
        return self.lines[index % len(self.lines)]


LIGHT = Theme(
    "light",
    "#ffffff",
    "#1f2937",
    "#6b7280",
    "#e5e7eb",
    ("#2563eb", "#ea580c", "#64748b", "#059669", "#9333ea", "#ca8a04", "#db2777", "#0891b2", "#4d7c0f"),
)
DARK = Theme(
    "dark",
    "#14181f",
    "#e5e7eb",
    "#9ca3af",
    "#2b323d",
    ("#60a5fa", "#fb923c", "#94a3b8", "#34d399", "#c084fc", "#facc15", "#f472b6", "#22d3ee", "#a3e635"),
)
THEMES = (LIGHT, DARK)
_UNSOLVED = {"light": "#e5e7eb", "dark": "#2f3744"}


def all_plots(data: ReportData, theme: Theme) -> dict[str, bytes]:
    """Name -> PNG of every plot that the experiment has rows for."""
    plots: dict[str, bytes] = {}
    if data.measured:
        plots["accuracy"] = accuracy({data.experiment: data.measured}, data.split or "", theme)
    by_difficulty = _by_difficulty(data)
    if len(by_difficulty) > 1:
        plots["difficulty"] = difficulty(by_difficulty, data.split or "", theme)
    if any(row["round"] > 0 and row["problems"] for row in data.rounds):
        plots["yield"] = yields(data.rounds, theme)
    if data.fates:
        plots["fates"] = fates(data.fates, theme)
    return plots


def accuracy(
    arms: Mapping[str, Sequence[tuple[int, float, float, float]]], split: str, theme: Theme
) -> bytes:
    """Accuracy with its interval by round, one line per arm; an arm is (round, value, low, high) rows."""
    figure, axes = new_figure(theme)
    last: list[tuple[float, str, str]] = []
    for index, (name, rows) in enumerate(arms.items()):
        rounds = [row[0] for row in rows]
        values = [100 * row[1] for row in rows]
        colour = theme.line(index)
        low, high = [100 * row[2] for row in rows], [100 * row[3] for row in rows]
        axes.fill_between(rounds, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(rounds, values, color=colour, marker="o", markersize=4.5, linewidth=2, label=name)
        last.append((values[-1], f"{values[-1]:.0f}%", colour))
    end = max(row[0] for rows in arms.values() for row in rows)
    for height, text, colour in _apart(last, 5.0):
        axes.annotate(
            text,
            (end, height),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
        )
    if len(arms) > 1:
        _legend(axes, theme)
    elif len(rounds) > 1:
        axes.annotate(
            f"{values[0]:.0f}%",
            (rounds[0], values[0]),
            xytext=(0, -17 if values[0] > 8 else 9),
            textcoords="offset points",
            color=colour,
            ha="center",
        )
    _percent(axes)
    _rounds_axis(axes, end)
    return as_png(figure, axes, f"Held-out accuracy ({split}, greedy) with its interval", theme)


def difficulty(series: Mapping[str, Sequence[tuple[int, float]]], split: str, theme: Theme) -> bytes:
    """Accuracy by round, one line per difficulty, named at the line's end."""
    from matplotlib import colormaps

    figure, axes = new_figure(theme)
    colours = colormaps["viridis"]
    count = len(series)
    dark = theme.name == "dark"
    ends: list[tuple[float, str, Any]] = []
    end = 0
    for index, (name, rows) in enumerate(series.items()):
        place = index / max(count - 1, 1)
        colour = colours(0.25 + 0.7 * place if dark else 0.85 * place)
        axes.plot(
            [row[0] for row in rows],
            [100 * row[1] for row in rows],
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=1.8,
        )
        ends.append((100 * rows[-1][1], name, colour))
        end = max(end, rows[-1][0])
    for height, name, colour in _apart(ends, 5.0):
        axes.annotate(
            name,
            (end, height),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )
    _percent(axes)
    _rounds_axis(axes, end)
    return as_png(figure, axes, f"Accuracy by difficulty ({split}, greedy)", theme)


def yields(rounds: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Problems of a round: solved unaided, solved only with the hint, not solved."""
    figure, axes = new_figure(theme)
    shown = [row for row in rounds if row["round"] > 0]
    places = [row["round"] for row in shown]
    solved = [row["generated_correct"] for row in shown]
    hinted = [row["rationalized_correct"] for row in shown]
    rest = [max(row["problems"] - one - two, 0) for row, one, two in zip(shown, solved, hinted, strict=True)]
    bottom = [0] * len(shown)
    for name, heights, colour, ink in (
        ("generated: solved unaided", solved, theme.line(0), "#ffffff"),
        ("rationalized: solved with the answer as a hint", hinted, theme.line(1), "#ffffff"),
        ("not solved", rest, _UNSOLVED[theme.name], theme.faint),
    ):
        bars = axes.bar(places, heights, 0.62, bottom=bottom, color=colour, label=name)
        tall = 0.05 * max((row["problems"] for row in shown), default=1)
        labels = [f"{height:,}" if height >= tall else "" for height in heights]
        axes.bar_label(bars, labels, label_type="center", color=ink, fontsize=8.5)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set_ylabel("problems", color=theme.faint)
    _rounds_axis(axes, max(places), first=min(places), bars=True)
    _legend_below(axes, theme, 3)
    return as_png(figure, axes, "What the problems of each round gave", theme)


def fates(rows: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Attempts of a round by what became of them: kept, or the reason why not."""
    figure, axes = new_figure(theme)
    places = sorted({row["round"] for row in rows})
    counts = {(row["round"], row["fate"]): row["attempts"] for row in rows}
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["fate"]] = totals.get(row["fate"], 0) + row["attempts"]
    names = sorted(totals, key=lambda name: (name != "kept", -totals[name], name))
    bottom = [0] * len(places)
    colours = iter((*theme.lines[2:3], *theme.lines[4:], *theme.lines[:2]))
    known = {"kept": theme.line(3), "wrong": _UNSOLVED[theme.name]}
    for name in names:
        heights = [counts.get((place, name), 0) for place in places]
        axes.bar(
            places,
            heights,
            0.62,
            bottom=bottom,
            color=known.get(name) or next(colours, theme.faint),
            label=name.replace("_", " "),
        )
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set_ylabel("attempts", color=theme.faint)
    _rounds_axis(axes, max(places), first=min(places), bars=True)
    _legend_below(axes, theme, 5)
    return as_png(figure, axes, "What became of the attempts", theme)


def origins(rounds: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Training rows of a round by how their rationales came about; rows of `rounds_summary`."""
    figure, axes = new_figure(theme)
    shown = [row for row in rounds if row["training_rows"]]
    places = [row["round"] for row in shown]
    reused = [row["reused_rows"] for row in shown]
    hinted = [row["rationalized_rows"] for row in shown]
    general = [row["replay_rows"] for row in shown]
    rest = [row["training_rows"] - row["rationalized_rows"] - row["replay_rows"] for row in shown]
    bottom = [0.0] * len(shown)
    for name, counts, colour in (
        ("generated", rest, theme.line(0)),
        ("rationalized", hinted, theme.line(1)),
        *([("replay", general, theme.line(2))] if any(general) else []),
    ):
        heights = [100 * count / row["training_rows"] for count, row in zip(counts, shown, strict=True)]
        bars = axes.bar(places, heights, 0.62, bottom=bottom, color=colour, label=name)
        labels = [f"{count:,}" if height >= 6 else "" for count, height in zip(counts, heights, strict=True)]
        axes.bar_label(bars, labels, label_type="center", color="#ffffff", fontsize=8.5)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    if any(reused):
        shares = [100 * count / row["training_rows"] for count, row in zip(reused, shown, strict=True)]
        axes.plot(places, shares, color=theme.ink, marker="o", markersize=4, label="from earlier rounds")
    _percent(axes)
    _rounds_axis(axes, max(places), first=min(places), bars=True)
    _legend_below(axes, theme, 3)
    return as_png(figure, axes, "Origin of the training rows", theme)


def lengths(rows: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Median length of the attempts by round and origin, with the middle 80%; rows of `ui_lengths`."""
    figure, axes = new_figure(theme)
    names = sorted({row["origin"] for row in rows})
    for index, name in enumerate(names):
        mine = [row for row in rows if row["origin"] == name]
        places = [row["round"] for row in mine]
        low, high = [row["p10"] for row in mine], [row["p90"] for row in mine]
        colour = theme.line(index)
        axes.fill_between(places, low, high, color=colour, alpha=0.16, linewidth=0)
        medians = [row["median"] for row in mine]
        axes.plot(places, medians, color=colour, marker="o", markersize=4.5, linewidth=2, label=name)
    axes.set_ylim(0, 1.08 * max(row["p90"] for row in rows))
    axes.set_ylabel("completion tokens", color=theme.faint)
    rounds = [row["round"] for row in rows]
    _rounds_axis(axes, max(rounds), first=min(rounds), bars=True)
    _legend_below(axes, theme, 4)
    return as_png(figure, axes, "Length of the attempts: median and the middle 80%", theme)


def spent(timings: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Seconds of each round by kind of work; rows of the report `stage_timings`."""
    figure, axes = new_figure(theme)
    places = sorted({row["round"] for row in timings})
    seconds: dict[tuple[int, str], float] = {}
    for row in timings:
        key = (row["round"], _KINDS.get(row["stage"], "other"))
        seconds[key] = seconds.get(key, 0.0) + (row["seconds"] or 0.0)
    bottom = [0.0] * len(places)
    for index, kind in enumerate((*dict.fromkeys(_KINDS.values()), "other")):
        heights = [seconds.get((place, kind), 0.0) for place in places]
        axes.bar(places, heights, 0.62, bottom=bottom, color=theme.line(index), label=kind)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set_ylabel("seconds", color=theme.faint)
    _rounds_axis(axes, max(places), first=min(places), bars=True)
    _legend_below(axes, theme, 6)
    return as_png(figure, axes, "Time of each round", theme)


_KINDS = {
    "generate": "generate",
    "rationalize": "rationalize",
    "regenerate": "rationalize",
    "choose_temperature": "generate",
    "train": "train",
    "evaluate": "evaluate",
    "verify_generated": "verify",
    "verify_rationalized": "verify",
    "verify_regenerated": "verify",
    "verify_evaluated": "verify",
}


def _by_difficulty(data: ReportData) -> dict[str, list[tuple[int, float]]]:
    """Difficulty -> (round, accuracy) of the split and style that every round was measured in."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in data.accuracies:
        if (
            row["metric"] == "accuracy"
            and row["difficulty"] != "all"
            and row["split"] == data.split
            and row["prompt_style"] == data.styles[0]
        ):
            series.setdefault(row["difficulty"], []).append((row["round"], row["value"]))
    names = sorted(series, key=_natural)[:_MOST_DIFFICULTIES]
    return {name: series[name] for name in names}


def _natural(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), "")
    except ValueError:
        return (1, 0.0, name)


def _apart(ends: Sequence[tuple[float, str, Any]], gap: float) -> list[tuple[float, str, Any]]:
    """The labels with their heights moved up where two would lie on each other, and down from the top."""
    placed: list[tuple[float, str, Any]] = []
    for height, name, colour in sorted(ends, key=lambda item: item[0]):
        lowest = placed[-1][0] + gap if placed else 0.0
        placed.append((max(height, lowest), name, colour))
    over = max(placed[-1][0] - 102.0, 0.0) if placed else 0.0
    moved: list[tuple[float, str, Any]] = []
    for height, name, colour in reversed(placed):
        ceiling = moved[-1][0] - gap if moved else height - over
        moved.append((min(height, ceiling), name, colour))
    return moved


def new_figure(theme: Theme, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """An empty plot in the colours of the theme; `size` in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=144, facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=theme.ground)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.grid)
    axes.tick_params(colors=theme.faint, length=0, labelsize=9)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("round", color=theme.faint)
    return figure, axes


def _percent(axes: Axes) -> None:
    axes.set_ylim(0, 104)
    axes.set_yticks(range(0, 101, 20), [f"{value}%" for value in range(0, 101, 20)])


def _rounds_axis(axes: Axes, last: int, *, first: int = 0, bars: bool = False) -> None:
    step = max(1, -(-(last - first + 1) // 20))
    axes.set_xticks(range(first, last + 1, step))
    margin = 0.5 if bars else 0.25
    axes.set_xlim(first - margin, last + margin + (0 if bars else 0.35))


def _legend(axes: Axes, theme: Theme) -> None:
    axes.legend(loc="upper left", frameon=False, labelcolor=theme.ink, fontsize=9)


def _legend_below(axes: Axes, theme: Theme, columns: int) -> None:
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=columns,
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
        handlelength=1.0,
        columnspacing=1.4,
    )


def as_png(figure: Figure, axes: Axes, title: str, theme: Theme) -> bytes:
    """The finished plot."""
    axes.set_title(title, loc="left", color=theme.ink, fontsize=11.5, weight="bold", pad=10)
    buffer = io.BytesIO()
    # Without the software's name and time in it, equal data give equal bytes.
    figure.savefig(buffer, format="png", facecolor=theme.ground, metadata={"Software": None})
    return buffer.getvalue()
