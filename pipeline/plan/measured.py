"""What a pilot measured, read from its tables and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.config.of_source import deciding_graders, shares
from pipeline.engines.tokenizer import load_tokenizer
from pipeline.graders import grader_digest
from pipeline.plan.estimate import Sample
from pipeline.plan.pilot import Facts, Pilot
from pipeline.records import FinishReason, Origin, Problem
from pipeline.stages.base import problem_of, recorded_prompts
from pipeline.stages.generate import draw
from pipeline.stages.tokens import token_row

Row = Mapping[str, Any]
_ALL = "all problems"
_NO_GPU = ("cpu", "auto", "none")


@dataclass(frozen=True, slots=True)
class Measured:
    """The pilot's counts.

    `problems` are rows of the query `pilot_problems`, `row_tokens` what a training row of each would take
    (None where it has no text), `sample` how they stand for those that a real round draws from `pool`.
    `evaluated` are rows of `pilot_evaluated`, `splits` the problems of each split, `runs` the executions by
    round and stage. `imported` are the kept rows of texts written elsewhere, all of which the pilot took.
    Sizes are in bytes; `rationales` are all attempts.
    """

    config: ExperimentConfig
    problems: Sequence[Row]
    row_tokens: Sequence[float | None]
    sample: Sample
    pool: int
    imported: int
    evaluated: Sequence[Row]
    splits: Mapping[str, int]
    runs: Mapping[tuple[int, str], Row]
    facts: Facts
    rationales: int
    table_bytes: int
    file_bytes: int

    def count(self, column: str) -> int:
        """A column of `problems` over all of them."""
        return sum(int(row[column]) for row in self.problems)

    @property
    def solved(self) -> int:
        """Problems with a generated attempt that could be kept."""
        return sum(1 for row in self.problems if row["correct"])

    @property
    def hinted_solved(self) -> int:
        """Problems with a rationalized attempt that could be kept."""
        return sum(1 for row in self.problems if row["hinted_correct"])

    @property
    def on_gpu(self) -> bool:
        """Whether models run on a GPU here, by the rule of the report `cost_by_round`."""
        return any(_is_gpu(run["device"]) for run in self.runs.values() if run["engine_tokens"])

    @property
    def trained(self) -> Row | None:
        """The execution of the timed steps; None where nothing was kept to train on."""
        run = self.runs[1, "train"]
        return run if run["engine_seconds"] else None

    @property
    def seconds(self) -> float:
        """Wall time of the pilot's stages."""
        return sum(run["seconds"] or 0.0 for run in self.runs.values())


def measure(pilot: Pilot) -> Measured:
    """Read a finished pilot."""
    store, name, config = pilot.store, pilot.experiment, pilot.config
    origin = Origin.GENERATED if config.generate.source == "model" else Origin.IMPORTED
    keep_cut_off = config.select.cut_off
    rows = store.rows("pilot_problems", experiment=name, origin=origin, keep_cut_off=keep_cut_off)
    train = {
        row["problem_id"]: problem_of(row) for row in store.rows("train_problems", experiment=name, round=1)
    }
    runs = {(run["round"], run["stage"]): run for run in store.rows("last_runs_of_stages", experiment=name)}
    return Measured(
        config=config,
        problems=rows,
        row_tokens=_row_tokens(pilot, train, rows),
        sample=_sample(config, train, rows),
        pool=len(train),
        imported=_imported(runs) if origin == Origin.GENERATED else 0,
        evaluated=store.rows("pilot_evaluated", experiment=name),
        splits={row["split"]: row["problems"] for row in store.rows("split_sizes", experiment=name)},
        runs=runs,
        facts=pilot.facts,
        rationales=sum(run["rows_out"] or 0 for (_, stage), run in runs.items() if stage in _WRITING),
        table_bytes=pilot.home.store_path.stat().st_size,
        file_bytes=_file_bytes(pilot),
    )


_WRITING = ("generate", "rationalize", "regenerate", "evaluate")


def _imported(runs: Mapping[tuple[int, str], Row]) -> int:
    return int(runs[1, "select"]["detail"]["origins"].get(Origin.IMPORTED, 0))


def _sample(config: ExperimentConfig, train: Mapping[str, Problem], rows: Sequence[Row]) -> Sample:
    """Strata where the config balances difficulties or sources have shares: a larger draw has them in other
    proportions."""
    shared, balanced = shares(config), config.generate.balanced

    def stratum(problem: Problem) -> str:
        parts = [problem.source] if shared else []
        return " ".join([*parts, str(problem.difficulty)] if balanced else parts) or _ALL

    drawn = Counter(stratum(problem) for problem in draw(list(train.values()), config, 1))
    return Sample(tuple(stratum(train[row["problem_id"]]) for row in rows), drawn)


def _row_tokens(pilot: Pilot, train: Mapping[str, Problem], rows: Sequence[Row]) -> list[float | None]:
    """Tokens that a training row of each problem takes: the mean over its complete texts, right or wrong."""
    config = pilot.config
    tokenizer = load_tokenizer(pilot.base.path, chat=config.prompts.chat)
    chat = tokenizer.render_chat if config.prompts.chat else None
    book = recorded_prompts(pilot.store, pilot.experiment, config, chat)
    lengths: dict[str, list[int]] = {}
    digests = [grader_digest(grader) for grader in deciding_graders(config)]
    for row in pilot.store.stream(
        "attempts_to_select", experiment=pilot.experiment, round=1, grader_digests=digests
    ):
        if row["finish_reason"] == FinishReason.LENGTH or not row["text"].strip():
            continue
        prompt = book.canonical(train[row["problem_id"]]).text
        ids, _ = token_row(tokenizer, prompt, book.completion(row["text"]))
        lengths.setdefault(row["problem_id"], []).append(len(ids))
    found = (lengths.get(row["problem_id"]) for row in rows)
    return [sum(each) / len(each) if each else None for each in found]


def _file_bytes(pilot: Pilot) -> int:
    """Shard files and the journal: all but the store, the base and the checkpoint, which is gone."""
    root = pilot.home.root
    files = [*pilot.home.experiment(pilot.experiment).rglob("*"), root / "star.journal.jsonl"]
    return sum(file.stat().st_size for file in files if file.is_file())


def _is_gpu(device: str | None) -> bool:
    return device is not None and device.lower() not in _NO_GPU
