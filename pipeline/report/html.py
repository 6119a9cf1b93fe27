"""One self-contained page: plots as data URIs, every text escaped, light or dark as the reader has it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline import __version__
from pipeline.report.data import ReportData
from pipeline.report.sections import sections, table
from pipeline.report.tables import ROUND_COLUMNS, round_cells

Plots = Mapping[str, Mapping[str, bytes]]
"""Theme name -> plot name -> PNG."""

_EXAMPLES = 8
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def render(**parts: Any) -> str:
    """The page of the given parts; what is not given stays out. Texts are escaped by the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipeline.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    nothing = {"columns": (), "rows": ()}
    defaults = {
        "subtitle": "",
        "lead": (),
        "knows": (),
        "round_tables": (),
        "confidence": "95%",
        "sampled": nothing,
        "sections": (),
        "sections_open": False,
        "examples": (),
        "config_text": "",
        "footer": f"star {__version__}",
    }
    page: str = environment.get_template("page.html.j2").render({**defaults, **parts})
    # Control characters say nothing in a page; the template has escaped all that means something.
    return _CONTROLS.sub("�", page)


def experiment_page(data: ReportData, plots: Plots) -> str:
    """The report of one experiment."""
    recorded = data.recorded
    return render(
        title=data.experiment,
        subtitle=data.config.description,
        lead=lead(data),
        knows=what_the_base_knows(data),
        plots=as_uris(plots),
        round_tables=[
            {"title": "Rounds", "columns": ROUND_COLUMNS, "rows": list(map(round_cells, data.rounds))}
        ],
        confidence=f"{data.config.evaluate.confidence:.0%}",
        sampled=_sampled(data),
        sections=sections(data),
        examples=_chosen(data.examples),
        config_text=yaml.safe_dump(data.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        footer=(
            f"star {__version__}; config {recorded['config_digest'][:12]}, base {recorded['base_model']} "
            f"{(recorded['base_hash'] or '')[:12]}, started {recorded['created_at']:%Y-%m-%d %H:%M} UTC"
        ),
    )


def comparison_page(arms: Mapping[str, ReportData], plots: Plots) -> str:
    """Experiments side by side: one plot, their ends, then the table of each."""
    first = next(iter(arms.values()))
    ends = []
    for title, data in arms.items():
        if data.measured:
            round_, value, low, high = data.measured[-1]
            ends.append(f"{title}: {value:.1%} [{low:.1%}, {high:.1%}] after round {round_}")
    return render(
        title="Side by side",
        subtitle=", ".join(data.experiment for data in arms.values()),
        lead=ends,
        knows=what_the_base_knows(first),
        plots=as_uris(plots),
        round_tables=[
            {
                "title": f"{title} ({data.experiment})",
                "columns": ROUND_COLUMNS,
                "rows": list(map(round_cells, data.rounds)),
            }
            for title, data in arms.items()
        ],
        confidence=f"{first.config.evaluate.confidence:.0%}",
    )


def lead(data: ReportData) -> list[str]:
    """What came out, in one or two sentences."""
    if not data.measured:
        return ["Nothing has been measured yet."]
    (first, *_), last = data.measured, data.measured[-1]
    sentences = [f"Held-out accuracy ({data.split}) of the base: {_share(first)}."]
    if len(data.measured) > 1:
        best = max(data.measured, key=lambda row: row[1])
        sentences = [
            f"Held-out accuracy ({data.split}) went from {_share(first)} to {_share(last)} "
            f"in round {last[0]}."
            + (f" The best was {best[1]:.1%} in round {best[0]}." if best[1] > last[1] else "")
        ]
    decided = [row for row in data.rounds if row["decision"]]
    if decided:
        end = decided[-1]
        sentences.append(f"Round {end['round']} decided to {end['decision']}: {end['reason']}.")
    return sentences


def what_the_base_knows(data: ReportData) -> list[str]:
    """For the demo: what its base was taught, and what the gain is not."""
    probe, base = data.facts, data.config.model.tiny
    if probe is None or base is None or base.kind != "column_addition":
        return []
    hinted = "1 column" if base.hinted_columns == 1 else f"{base.hinted_columns} columns"
    return [
        "What the base knows: the procedure of column addition (copy a column, add, carry, collect the "
        f"answer) and {probe.known} of the 100 digit sums. Asked for all of them before the first round, it "
        f"had {probe.sentence}. For a sum that it was not taught it writes random digits.",
        "What is learned: the missing digit sums, from its own attempts whose final answer was right, and "
        f"from attempts with the answer shown (the base has seen hints on problems of up to {hinted}).",
        "What this is not: length generalization. The base has seen as many columns as are asked here.",
    ]


def as_uris(plots: Plots) -> dict[str, dict[str, str]]:
    """The plots as data URIs; names without a plot give an empty text."""
    names = ("accuracy", "ablation", "yield", "fates", "difficulty")
    return {
        theme: {name: _uri(of_theme[name]) if name in of_theme else "" for name in names}
        for theme, of_theme in plots.items()
    }


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _share(row: tuple[int, float, float, float]) -> str:
    return f"{row[1]:.1%} [{row[2]:.1%}, {row[3]:.1%}]"


def _chosen(examples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Examples of the first and the last round that have some: a few, kept ones first."""
    rounds = sorted({row["round"] for row in examples})
    shown: list[Mapping[str, Any]] = []
    for round_ in dict.fromkeys((*rounds[:1], *rounds[-1:])):
        of_round = [row for row in examples if row["round"] == round_]
        shown += sorted(of_round, key=lambda row: not row["kept"])[: _EXAMPLES // 2]
    return shown


def _sampled(data: ReportData) -> dict[str, Any]:
    """pass@k and maj@k, where the config asked for them."""
    columns = ("round", "metric", "split", "prompt_style", "problems", "samples", "value")
    rows = [
        {**row, "value": f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"}
        for row in data.accuracies
        if "@" in row["metric"] and row["difficulty"] == "all"
    ]
    return table(columns, rows)
