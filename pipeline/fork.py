"""Go on from a round of an experiment under a new name, with other settings and nothing computed twice."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig, stage_config
from pipeline.config.experiment import IDENTITY
from pipeline.errors import ConfigError, NotReadyError
from pipeline.identity import digest
from pipeline.paths import Home, validate_experiment
from pipeline.runner import config_differences
from pipeline.store import Store

# What prepare recorded in round 0: the forked rounds stand on it, so a fork cannot change it.
_RECORDED = (
    "model",
    "problems",
    "prompts.chat",
    "prompts.system",
    "prompts.question",
    "prompts.choice",
    "prompts.completion_prefix",
    "prompts.few_shot",
    "prompts.hinted_few_shot",
    "evaluate.further",
)


@dataclass(frozen=True, slots=True)
class Forked:
    """What a fork made: the rounds it has, and those whose checkpoint was no longer on disk."""

    experiment: str
    rounds: int
    without_checkpoint: tuple[int, ...]


def fork(
    store: Store, home: Home, source: str, new: str, from_round: int, config: ExperimentConfig
) -> Forked:
    """Let the experiment `new` stand on rounds 0 to `from_round` of `source`, and go on with `config`.

    All rows are copied in one transaction. Checkpoints become hard links, so they take no space, and what
    either experiment deletes later stays with the other. Raises ConfigError where `new` exists or `config`
    changes what round 0 recorded, NotReadyError where a round is not finished or the last one's checkpoint
    is gone.
    """
    validate_experiment(new)
    recorded = _recorded(store, source, new)
    _refuse_other_base(source, new, recorded["config"], config)
    _require_finished(store, source, from_round)
    described = f"{config.description} (forked from {source} after round {from_round})".strip()
    config = config.model_copy(update={"description": described, "experiment": None})
    with store.lease(new, f"star fork {source}"):
        folders, gone = _checkpoint_folders(store, home, source, new, from_round)
        try:
            for old, copy in folders:
                _link_tree(old, copy)
            store.fork(
                source,
                new,
                from_round,
                config=config.model_dump(mode="json"),
                config_digest=digest(stage_config(config, IDENTITY)),
            )
        except BaseException:
            for _, copy in folders:
                shutil.rmtree(copy, ignore_errors=True)
            raise
    return Forked(new, from_round + 1, gone)


def _recorded(store: Store, source: str, new: str) -> dict[str, Any]:
    rows = store.rows("experiment", experiment=source)
    if not rows:
        raise NotReadyError(f"experiment {source!r} is not in the store {store}; see: star status")
    if store.rows("experiment", experiment=new):
        raise ConfigError(f"experiment {new!r} exists already; fork {source} under another name")
    return rows[0]


def _refuse_other_base(source: str, new: str, recorded: dict[str, Any], config: ExperimentConfig) -> None:
    before = stage_config(ExperimentConfig.model_validate(recorded), _RECORDED)
    differences = config_differences(before, stage_config(config, _RECORDED))
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise ConfigError(
            f"a fork of {source} keeps its base, problems and canonical prompt, which round 0 recorded; "
            f"what differs (recorded, then given):\n{lines}\n"
            f"start anew with them instead: star run CONFIG --experiment {new}"
        )


def _require_finished(store: Store, source: str, from_round: int) -> None:
    rounds = {row["round"]: row["status"] for row in store.rows("rounds", experiment=source)}
    for round_ in range(from_round + 1):
        if rounds.get(round_) not in ("done", "forked"):
            done = [number for number, status in rounds.items() if status in ("done", "forked")]
            last = f"the last finished one is {max(done)}" if done else "none is finished"
            raise NotReadyError(
                f"round {round_} of experiment {source} is not finished ({last}); fork from one that is, "
                f"or run: star run {source} --rounds {from_round}"
            )


def _checkpoint_folders(
    store: Store, home: Home, source: str, new: str, from_round: int
) -> tuple[list[tuple[Path, Path]], tuple[int, ...]]:
    """Checkpoint folders of `source` with the path of their copy, and the rounds whose folder is gone."""
    folders: list[tuple[Path, Path]] = []
    gone: list[int] = []
    for row in store.rows("checkpoints", experiment=source):
        if row["round"] > from_round:
            continue
        old = home.absolute(row["path"])
        if old.is_dir():
            folders.append((old, home.absolute(_moved(row["path"], source, new))))
        else:
            gone.append(row["round"])
    if from_round in gone:
        raise NotReadyError(
            f"the checkpoint of round {from_round} of experiment {source} is no longer on disk (train.keep), "
            "and the next round is written with it; "
            f"train it again: star stage train {source} --round {from_round} --force"
        )
    return folders, tuple(gone)


def _moved(stored: str, source: str, new: str) -> str:
    """A stored path of the experiment `source` as one of `new`."""
    prefix = f"experiments/{source}/"
    return f"experiments/{new}/{stored.removeprefix(prefix)}"


def _link_tree(old: Path, copy: Path) -> None:
    """The same files under another folder: hard links, or copies where the file system has none."""
    copy.mkdir(parents=True)
    for item in sorted(old.rglob("*")):
        target = copy / item.relative_to(old)
        if item.is_dir():
            target.mkdir(exist_ok=True)
            continue
        try:
            os.link(item, target)
        except OSError:
            shutil.copy2(item, target)
