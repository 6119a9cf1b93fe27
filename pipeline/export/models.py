"""A trained model as a folder that any Hugging Face tool loads, with its card and lineage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.engines.weights import content_names, hash_model, resolve_model
from pipeline.errors import InvariantError, NotReadyError
from pipeline.export.cards import card, valid_licence
from pipeline.export.folder import new_folder
from pipeline.paths import Home
from pipeline.report.tables import held_out
from pipeline.store import Store
from pipeline.tiny_base import base_folder

LINEAGE = "lineage.json"


def export_model(
    store: Store,
    home: Home,
    experiment: str,
    round_: int,
    to: Path,
    *,
    licence: str | None = None,
    force: bool = False,
) -> str:
    """Copy the model of a round (0: the base) with tokenizer, generation config, lineage and card.

    Returns its content hash. NotReadyError where the checkpoint is not on disk, InvariantError where its
    content is not the recorded one. `licence` as in `Layout`.
    """
    valid_licence(licence)
    recorded = store.rows("experiment", experiment=experiment)[0]
    source, expected = _model_of(store, home, recorded, experiment, round_)
    found = hash_model(source)
    if found != expected:
        raise InvariantError(
            f"the model at {source} has content {found[:12]}, recorded is {expected[:12]}: its files "
            f"were changed; train it again: star stage train {experiment} --round {round_} --force"
        )
    lineage = _lineage(store, source, recorded, experiment, round_, expected)
    rounds = [row for row in store.rows("rounds_summary", experiment=experiment) if row["round"] <= round_]
    with new_folder(to, force) as folder:
        for name in content_names(source):
            shutil.copy2(source / name, folder / name)
        (folder / LINEAGE).write_text(json.dumps(lineage, indent=1, default=str) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(recorded, rounds, lineage, licence), encoding="utf-8")
    return expected


def _model_of(
    store: Store, home: Home, recorded: Mapping[str, Any], experiment: str, round_: int
) -> tuple[Path, str]:
    """Folder and recorded content hash of the model of a round."""
    if round_ == 0:
        config = ExperimentConfig.model_validate(recorded["config"]).model
        path = (
            base_folder(config.tiny, home.bases)
            if config.tiny
            else resolve_model(config.base, config.revision)
        )
        return path, str(recorded["base_hash"])
    rows = store.rows("checkpoint", experiment=experiment, round=round_)
    if not rows:
        raise NotReadyError(
            f"round {round_} of experiment {experiment} has trained no model; see: star status {experiment}"
        )
    path = home.absolute(rows[0]["path"])
    if not path.is_dir():
        raise NotReadyError(
            f"the checkpoint of round {round_} of experiment {experiment} is no longer on disk (train.keep); "
            f"train it again: star stage train {experiment} --round {round_} --force"
        )
    return path, str(rows[0]["content_hash"])


def _lineage(
    store: Store, source: Path, recorded: Mapping[str, Any], experiment: str, round_: int, content_hash: str
) -> dict[str, Any]:
    """What the checkpoint's own lineage.json says, and the chain of checkpoints up to this round."""
    own = source / LINEAGE
    chain = [
        {
            name: row[name]
            for name in (
                "round",
                "content_hash",
                "parent_hash",
                "training_set_digest",
                "rows",
                "steps",
                "loss",
            )
        }
        for row in store.rows("checkpoints", experiment=experiment)
        if row["round"] <= round_
    ]
    return {
        **(json.loads(own.read_text(encoding="utf-8")) if own.is_file() else {}),
        "experiment": experiment,
        "round": round_,
        "content_hash": content_hash,
        "base_model": recorded["base_model"],
        "base_hash": recorded["base_hash"],
        "config_digest": recorded["config_digest"],
        "checkpoints": chain,
    }


def _card(
    recorded: Mapping[str, Any],
    rounds: list[dict[str, Any]],
    lineage: Mapping[str, Any],
    licence: str | None,
) -> str:
    counts: dict[str, Any] = {}
    for row in rounds:
        measured = held_out(row)
        if measured:
            split, value, low, high = measured
            counts[f"round {row['round']}, {split} accuracy"] = f"{value:.1%} [{low:.1%}, {high:.1%}]"
    if rounds:
        counts["training rows"] = rounds[-1]["training_rows"]
    base = str(recorded["base_model"])
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["star", "sft"]}
    if "/" in base and not base.startswith(("/", ".", "~")):
        front["base_model"] = base
    names = ("experiment", "round", "content_hash", "base_model", "base_hash", "config_digest")
    return card(
        front,
        f"{lineage['experiment']}, round {lineage['round']}",
        [
            "A model fine-tuned on rationales that it (or the model of the round before) wrote itself and "
            f"whose final answer was verified. `{LINEAGE}` has every checkpoint and training set behind it.",
        ],
        counts,
        {name.replace("_", " "): str(lineage[name]) for name in names},
        ExperimentConfig.model_validate(recorded["config"]),
        licence=licence,
    )
