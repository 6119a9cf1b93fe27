"""Datasets of an experiment: `data/*.parquet` (or JSON Lines) and a card, as the hub has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import ExperimentConfig
from pipeline.errors import ConfigError, NotReadyError
from pipeline.export import columns
from pipeline.export.cards import card, valid_licence
from pipeline.export.counts import Counts
from pipeline.export.files import Format, Row, write_rows
from pipeline.export.folder import new_folder
from pipeline.export.pairs import paired_texts
from pipeline.export.turns import Shaper
from pipeline.store import Store

TRAINING = """\
Rationales that a language model wrote itself and whose final answer was verified, as it was fine-tuned on
them. Rows considered are the attempts of the round and, where `select.reuse_rounds` asks for them, the rows
kept in earlier rounds."""
TRAINING_PLAIN = """\
`prompt` is the canonical one, without exemplars and hint; `completion` has no end token."""
TRAINING_CHAT = """\
`messages` are the question as it was laid out and the rationale. It alone was trained on: for that, set
`assistant_only_loss=True` in TRL's `SFTConfig`."""
PREFERENCES = """\
Two texts of a language model at the same problem: `chosen` was verified and kept to train on, the final
answer of `rejected` is wrong. Texts that people flagged, that were cut off or are empty stand in no pair. Of
texts that read alike one does.

Rows considered are the pairs asked for of each train problem. A problem has fewer where it was not
attempted, nothing of it was kept, nothing was wrong, or its texts do not make so many pairs."""
PROBLEMS = """\
Questions as a language model is asked them, without exemplars and hint, with their gold answers: no text of
a model. Problems that serve as exemplars or equal a held-out one are not among them."""
RATIONALES = """\
Every attempt of a language model at its problems, right and wrong, with the verdict of the grader and what
became of it. `rationalized` attempts were shown the gold answer as a hint. `flagged` is what people said."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset is written.

    `chat`: turns with roles in place of plain text. `licence`: an identifier of the hub (`apache-2.0`) for
    the card, ConfigError for what cannot be one. `force` replaces what the folder holds.
    """

    form: Format = "parquet"
    chat: bool = False
    licence: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        valid_licence(self.licence)


def export_training(
    store: Store, experiment: str, round_: int, to: Path, layout: Layout = Layout()
) -> Counts:
    """Write the rows that the model of a round was trained on. NotReadyError where the round has none."""
    config = _config(store, experiment)
    counts = Counts()
    for row in store.rows("left_out_of_training", experiment=experiment, round=round_):
        counts.left_out[row["reason"]] = row["attempts"]
    stored = store.stream("export_training", experiment=experiment, round=round_)
    rows = Shaper(config, store.home, chat=layout.chat).training(stored)
    digests = store.rows("training_set", experiment=experiment, round=round_)
    return _write(
        store,
        experiment,
        to,
        layout,
        _Dataset(
            kind="training-rows",
            title=f"Training rows of {experiment}, round {round_}",
            about=[TRAINING, TRAINING_CHAT if layout.chat else TRAINING_PLAIN],
            schema=columns.TRAINING_CHAT if layout.chat else columns.TRAINING,
            files={"train": counts.seeing(rows, "origin", "from_round")},
            counts=counts,
            round=str(round_),
            provenance={"training set digest": ", ".join(row["training_set_digest"] for row in digests)},
            nothing=f"round {round_} of experiment {experiment} has no training rows; see what it kept: "
            f"star show {experiment} --round {round_}",
        ),
    )


def export_preferences(
    store: Store,
    experiment: str,
    round_: int | None,
    to: Path,
    layout: Layout = Layout(),
    *,
    pairs: int = 1,
    seed: int | None = None,
) -> Counts:
    """Write pairs of a kept and a wrong text of the same train problem, up to `pairs` a problem.

    Of a round: its training rows against its attempts that are wrong; None: of all rounds. Which pairs is
    drawn by `seed` (None: that of the experiment's config), every text once before one stands twice. Rows
    considered are `pairs` for each train problem. NotReadyError where no pair can be made.
    """
    if pairs < 1:
        raise ConfigError(f"{pairs} pairs a problem: expected at least 1")
    config = _config(store, experiment)
    counts = Counts()
    drawn_by = config.seed if seed is None else seed
    stored = store.stream(
        "export_preferences", experiment=experiment, round=round_, pairs=pairs, seed=drawn_by
    )
    rows = Shaper(config, store.home, chat=layout.chat).preferences(paired_texts(stored, pairs, counts))
    rounds = _rounds(round_)
    return _write(
        store,
        experiment,
        to,
        layout,
        _Dataset(
            kind="preferences",
            title=f"Preference pairs of {experiment}, {rounds}",
            about=[PREFERENCES],
            schema=columns.PREFERENCES_CHAT if layout.chat else columns.PREFERENCES,
            files={"train": counts.seeing(rows, "chosen_origin", "rejected_origin")},
            counts=counts,
            round=_round(round_),
            provenance={"pairs a problem": pairs, "drawn by seed": drawn_by},
            nothing=f"no problem of experiment {experiment} has both a kept and a wrong text in {rounds}; "
            f"see: star reports yield_by_round {experiment}",
        ),
    )


def export_problems(store: Store, experiment: str, to: Path, layout: Layout = Layout()) -> Counts:
    """Write every train problem once, as prompt and gold answer, for training by reward."""
    counts = Counts()
    stored = store.stream("export_problems", experiment=experiment)
    rows = Shaper(_config(store, experiment), store.home, chat=layout.chat).problems(stored)
    return _write(
        store,
        experiment,
        to,
        layout,
        _Dataset(
            kind="problems",
            title=f"Train problems of {experiment}",
            about=[PROBLEMS],
            schema=columns.PROBLEMS_CHAT if layout.chat else columns.PROBLEMS,
            files={"train": counts.seeing(rows, "difficulty")},
            counts=counts,
            round="none: those of all rounds",
            nothing=f"experiment {experiment} has no train problems; see: star status {experiment}",
        ),
    )


def export_rationales(
    store: Store, experiment: str, round_: int | None, to: Path, layout: Layout = Layout()
) -> Counts:
    """Write every attempt of a round (None: of all rounds) with its verdict, one file per split.

    NotReadyError where there is none; ConfigError for `chat`: an attempt is no conversation.
    """
    if layout.chat:
        raise ConfigError(
            "rationales are exported as attempts with verdicts, not as chats; see export_training"
        )
    counts = Counts()
    files = {
        split: counts.seeing(
            store.stream("export_rationales", experiment=experiment, round=round_, split=split),
            "origin",
            "outcome",
            "fate",
        )
        for split in ("train", "dev", "eval")
    }
    where = "any round" if round_ is None else f"round {round_}"
    return _write(
        store,
        experiment,
        to,
        layout,
        _Dataset(
            kind="rationales",
            title=f"Rationales of {experiment}, {_rounds(round_)}",
            about=[RATIONALES],
            schema=columns.RATIONALES,
            files=files,
            counts=counts,
            round=_round(round_),
            nothing=f"experiment {experiment} has no attempts in {where}; see: star status {experiment}",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What is written: one file per split whose rows there are, and the words of the card.

    `counts` is complete once the files are written; `nothing` is the error where no row came.
    """

    kind: str
    title: str
    about: Sequence[str]
    schema: pa.Schema
    files: Mapping[str, Iterable[Row]]
    counts: Counts
    round: str
    nothing: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


def _write(store: Store, experiment: str, to: Path, layout: Layout, dataset: _Dataset) -> Counts:
    with new_folder(to, layout.force) as folder:
        files: dict[str, str] = {}
        for split, rows in dataset.files.items():
            name = f"data/{split}.{layout.form}"
            if write_rows(folder / name, dataset.schema, rows, layout.form):
                files[split] = name
            else:
                (folder / name).unlink()
        if not dataset.counts.rows:
            raise NotReadyError(dataset.nothing)
        (folder / "README.md").write_text(_card(store, experiment, layout, dataset, files), encoding="utf-8")
    return dataset.counts


def _card(store: Store, experiment: str, layout: Layout, dataset: _Dataset, files: Mapping[str, str]) -> str:
    recorded = store.rows("experiment", experiment=experiment)[0]
    data_files = [{"split": split, "path": path} for split, path in files.items()]
    return card(
        {
            "configs": [{"config_name": "default", "data_files": data_files}],
            "tags": ["star", dataset.kind, *(["trl"] if dataset.kind != "rationales" else [])],
        },
        dataset.title,
        dataset.about,
        dataset.counts.table(),
        {
            "experiment": experiment,
            "round": dataset.round,
            "base model": recorded["base_model"],
            "base hash": recorded["base_hash"],
            "config digest": recorded["config_digest"],
            "started": f"{recorded['created_at']:%Y-%m-%d %H:%M} UTC",
            **dataset.provenance,
        },
        ExperimentConfig.model_validate(recorded["config"]),
        licence=layout.licence,
    )


def _config(store: Store, experiment: str) -> ExperimentConfig:
    return ExperimentConfig.model_validate(store.rows("experiment", experiment=experiment)[0]["config"])


def _round(round_: int | None) -> str:
    return "all" if round_ is None else str(round_)


def _rounds(round_: int | None) -> str:
    return "all rounds" if round_ is None else f"round {round_}"
