"""The page of an ablation: one table and one plot of its arms, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.paths import Home, write_atomically
from pipeline.report import html, plots

COLUMNS = (
    "arm",
    "held-out accuracy",
    "lowest to highest",
    "against the first",
    "sampled tokens",
    "steps",
    "training rows",
    "rounds",
)


@dataclass(frozen=True, slots=True)
class ArmLine:
    """An arm in the table: accuracies (0 to 1) and costs, one per seed and in one order in all arms."""

    title: str
    accuracies: tuple[float, ...]
    sampled_tokens: tuple[int, ...]
    steps: tuple[int, ...]
    rows: tuple[int, ...]
    rounds: tuple[int, ...]
    note: str = ""

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


def cells(line: ArmLine, first: ArmLine) -> list[str]:
    """The line in the order of COLUMNS; counts are means over the seeds, the difference is paired by seed."""
    low, high = min(line.accuracies), max(line.accuracies)
    against = 100 * (line.mean - first.mean)
    return [
        line.title,
        f"{line.mean:.1%}",
        f"{low:.1%} to {high:.1%}" if len(line.accuracies) > 1 else "",
        "" if line is first else f"{against:+.1f}",
        f"{_mean(line.sampled_tokens):,.0f}",
        f"{_mean(line.steps):,.0f}",
        f"{_mean(line.rows):,.0f}",
        f"{max(line.rounds)}",
    ]


def write_ablation(home: Home, experiment: str, title: str, lines: Sequence[ArmLine]) -> Path:
    """Write page and plot into the report folder of `experiment`, the first arm's; returns the page."""
    first, folder = lines[0], home.reports(experiment)
    drawn = {theme.name: {"ablation": spread(lines, theme)} for theme in plots.THEMES}
    seeds = len(first.accuracies)
    page = html.render(
        title=title,
        subtitle=f"{len(lines)} arms, {seeds} seed{'s' if seeds > 1 else ''}",
        lead=[
            "Every dot is a seed, the bar their mean. Sampled tokens, steps and rows are means over the "
            "seeds, tokens and steps those of all rounds together. Controls are held to the tokens and "
            "steps of the first arm, as near as whole samples and problems allow."
        ],
        plots=html.as_uris(drawn),
        sections=[
            {"title": "Arms", "note": "", "columns": COLUMNS, "rows": [cells(one, first) for one in lines]},
            {
                "title": "What controls were given",
                "note": "",
                "columns": ("arm", "given"),
                "rows": [[one.title, one.note] for one in lines if one.note],
            },
        ],
        sections_open=True,
    )
    write_atomically(folder / "ablation.png", drawn["light"]["ablation"])
    path = folder / "ablation.html"
    write_atomically(path, page.encode("utf-8"))
    return path


def spread(lines: Sequence[ArmLine], theme: plots.Theme) -> bytes:
    """Accuracy by arm: a dot per seed and a bar at their mean, the first arm on top."""
    figure, axes = plots.new_figure(theme, (7.6, 1.3 + 0.42 * len(lines)))
    for place, line in enumerate(reversed(lines)):
        colour = theme.line(0 if line is lines[0] else 1)
        values = [100 * value for value in line.accuracies]
        axes.hlines(place, min(values), max(values), color=colour, linewidth=1.5, alpha=0.5)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=5.5, alpha=0.75)
        axes.plot([100 * line.mean], [place], "|", color=colour, markersize=17, markeredgewidth=3)
        axes.annotate(
            f"{line.mean:.1%}",
            (max(values), place),
            xytext=(9, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(lines)), [line.title for line in reversed(lines)], color=theme.ink)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.set_xlim(-2, 112)
    axes.set_xticks(range(0, 101, 20), [f"{value}%" for value in range(0, 101, 20)])
    axes.grid(axis="x", color=theme.grid, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("")
    return plots.as_png(figure, axes, "Held-out accuracy by arm and seed", theme)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
