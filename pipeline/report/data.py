"""Everything a report shows, read from the store once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.config.load import validate
from pipeline.config.site import load_site
from pipeline.paths import Home
from pipeline.records import Split
from pipeline.report.tables import held_out
from pipeline.store import Store
from pipeline.tiny_base import FactProbe, base_folder, read_facts

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportData:
    """One experiment as the report shows it; rows are those of the queries of sql/reports/.

    `facts` are the digit sums that a column-addition base was taught, and what a probe found; else None.
    """

    experiment: str
    config: ExperimentConfig
    recorded: Row
    rounds: list[dict[str, Any]]
    accuracies: list[dict[str, Any]] = field(default_factory=list)
    further: list[dict[str, Any]] = field(default_factory=list)
    yields: list[dict[str, Any]] = field(default_factory=list)
    by_source: list[dict[str, Any]] = field(default_factory=list)
    fates: list[dict[str, Any]] = field(default_factory=list)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    solved: list[dict[str, Any]] = field(default_factory=list)
    diversity: list[dict[str, Any]] = field(default_factory=list)
    disagreement: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    currency: str = ""
    examples: list[dict[str, Any]] = field(default_factory=list)
    facts: FactProbe | None = None

    @property
    def measured(self) -> list[tuple[int, float, float, float]]:
        """Round, held-out accuracy, low, high, of the rounds that were measured."""
        found = [(row["round"], held_out(row)) for row in self.rounds]
        return [(round_, share[1], share[2], share[3]) for round_, share in found if share is not None]

    @property
    def split(self) -> str | None:
        """The split that `measured` speaks of."""
        return next((share[0] for share in map(held_out, self.rounds) if share is not None), None)

    @property
    def styles(self) -> list[str]:
        """Prompt styles of the accuracies, the one of every round first."""
        main = str(self.config.evaluate.style)
        others = {row["prompt_style"] for row in self.accuracies if row["split"] in tuple(Split)} - {main}
        return [main, *sorted(others)]


def gather(store: Store, home: Home, experiment: str) -> ReportData:
    """Read what the report of an experiment needs."""
    recorded = store.rows("experiment", experiment=experiment)[0]
    config = validate(recorded["config"], source=f"the recorded config of experiment {experiment}")

    prices = load_site(home).config.prices

    def report(name: str) -> list[dict[str, Any]]:
        return store.rows(f"reports/{name}", experiment=experiment)

    return ReportData(
        experiment=experiment,
        config=config,
        recorded=recorded,
        rounds=store.rows("rounds_summary", experiment=experiment),
        accuracies=report("accuracy_by_round"),
        further=report("further_by_round"),
        yields=report("yield_by_round"),
        by_source=report("yield_by_source"),
        fates=report("fates_by_round"),
        rejections=report("rejections"),
        verdicts=report("verdicts_by_round"),
        quality=report("quality_by_round"),
        timings=report("stage_timings"),
        solved=report("solved_by_round"),
        diversity=report("diversity_by_round"),
        disagreement=report("grader_disagreement"),
        costs=store.rows("reports/cost_by_round", experiment=experiment, **prices.parameters),
        currency=prices.currency,
        examples=report("example_rationales"),
        facts=_facts(config, home),
    )


def _facts(config: ExperimentConfig, home: Home) -> FactProbe | None:
    tiny = config.model.tiny
    if tiny is None or tiny.kind != "column_addition":
        return None
    found = read_facts(base_folder(tiny, home.bases))
    return found[1] if found else None
