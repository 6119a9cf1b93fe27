"""What Airflow asks the store: the config that an experiment goes by, and which round is next.

The config is written to the experiment's folder, so that a task is told a name and a file, and a later launch
changes the number of rounds or shards for all tasks that follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from pipeline.config import ExperimentConfig, LoadedConfig, stage_config
from pipeline.config.experiment import IDENTITY
from pipeline.identity import digest
from pipeline.paths import Home, write_atomically
from pipeline.progress import Progress
from pipeline.runner import Session, open_session
from pipeline.stage_states import stage_states
from pipeline.stages.prepare import arrived_problems
from pipeline.store import Store


@dataclass(frozen=True, slots=True)
class Following:
    """What comes after a round.

    `round` is the first later round that is not done with today's inputs, None where there is none or the
    loop was decided to stop. `stale` are later rounds that were done and are no longer, because they stand on
    something else than today's inputs. `redo` says that the launcher was asked to go on after `round` had
    been finished, which asks for it to be done again.
    """

    round: int | None
    stale: tuple[int, ...]
    redo: bool


def launch(home: Home, name: str, loaded: LoadedConfig, progress: Progress) -> Session:
    """Write the config that the tasks of experiment `name` go by, and when it was launched.

    Raises ConfigError where the experiment exists with another config in what decides the outcome.
    """
    session = open_session(home, name, loaded, progress)
    content = {**session.config.model_dump(mode="json"), "experiment": name}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    write_atomically(home.launched_config(name), text.encode())
    launched = {"launched_at": datetime.now(UTC).replace(tzinfo=None).isoformat()}
    write_atomically(home.launched(name), json.dumps(launched).encode())
    return session


@dataclass(frozen=True, slots=True)
class Continuation:
    """The newest experiment of a config, how many rounds it has, and what arrived for it (None: nothing)."""

    experiment: str
    last_round: int
    arrived: str | None


def newest_of(home: Home, config: ExperimentConfig) -> Continuation | None:
    """The newest experiment whose config decides the same outcome as `config`; None where there is none."""
    store = Store(home)
    store.migrate()
    wanted = digest(stage_config(config, IDENTITY))
    rows = store.rows("experiments_of_config", config_digest=wanted)
    if not rows:
        return None
    name, last_round = rows[0]["experiment"], rows[0]["last_round"]
    growth = arrived_problems(store, name, config, last_round + 1)
    return Continuation(name, last_round, growth.note if growth.problems else None)


def what_follows(session: Session, round_: int) -> Following:
    """What comes after `round_`, which is finished."""
    store, name = session.store, session.experiment
    rows = {row["round"]: row for row in store.rows("rounds", experiment=name)}
    runs = store.rows("last_runs_of_stages", experiment=name)
    states = {
        later: _round_state(store, name, later, rows[later], runs) for later in sorted(rows) if later > round_
    }
    stale = tuple(later for later, state in states.items() if state == "stale")
    wanted = _next(session.config.rounds, round_, rows, states)
    return Following(wanted, stale, wanted in stale and _launched_since(session, rows[wanted]))


def _next(
    total: int, round_: int, rows: Mapping[int, Mapping[str, Any]], states: Mapping[int, str]
) -> int | None:
    at = round_
    while rows[at]["decision"] == "continue":
        at += 1
        if states.get(at) not in ("done", "forked"):
            return at
    # A round that ended the loop is decided again where more rounds are asked for than it was told of.
    return at if round_ < at < total else None


def _round_state(
    store: Store, name: str, round_: int, row: Mapping[str, Any], runs: list[dict[str, Any]]
) -> str:
    """`forked`, `done`, `stale` or `unfinished`."""
    if row["status"] == "forked":
        return "forked"
    if row["status"] != "done":
        return "unfinished"
    states = {each["state"] for each in stage_states(store, name, round_, runs, running=False)}
    return "done" if states <= {"done"} else "stale"


def _launched_since(session: Session, row: Mapping[str, Any]) -> bool:
    file = session.home.launched(session.experiment)
    if row["finished_at"] is None or not file.is_file():
        return True
    launched_at = datetime.fromisoformat(json.loads(file.read_text())["launched_at"])
    return bool(launched_at > row["finished_at"])
