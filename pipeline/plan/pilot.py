"""The pilot: a part of an experiment's own first round, run by its own stages in a home of its own.

Its problems are among those that the real round 1 draws, its prompts, seeds and graders are the same. It
measures the base on a part of the held-out problems, writes, verifies, rationalizes and selects, and trains a
few steps on what was kept. Nothing of it is in the tables of the experiment; they share the base.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.config import ExperimentConfig, LoadedConfig
from pipeline.errors import ConfigError
from pipeline.identity import digest
from pipeline.paths import Home, write_atomically
from pipeline.progress import Progress
from pipeline.runner import Session, open_session, run_experiment
from pipeline.stages.base import Model
from pipeline.store import Store
from pipeline.store.plain import PlainFile
from pipeline.training.checkpoints import weight_bytes

TIMED_STEPS = 8
"""Optimizer steps that the pilot trains, to time them."""
_FACTS = "pilot.json"
_NO_LIMIT = 1e9


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables of a pilot do not say: seconds to start the engine, the first time (imports included)
    and again, and the bytes of a checkpoint."""

    first_load_seconds: float
    load_seconds: float
    checkpoint_bytes: int


@dataclass(frozen=True, slots=True)
class Pilot:
    """A finished pilot of the experiment that `config` describes; `asked` are the problems it was to take.

    `reused`: it had been run before, and nothing was run now.
    """

    home: Home
    store: Store
    experiment: str
    config: ExperimentConfig
    base: Model
    asked: int
    facts: Facts
    reused: bool


def run_pilot(
    loaded: LoadedConfig, home: Home, problems: int, progress: Progress, *, again: bool = False
) -> Pilot:
    """Run the pilot of a config, or take the one that was run with the same settings.

    It lies in `plans/` of the home, under the experiment's name and a digest of all settings, and goes on
    where it was after an interruption. `again` removes it first. Raises ConfigError for a config that has no
    rounds to predict, and what `run_experiment` raises.
    """
    if loaded.config.engine.foreign_hash is not None:
        raise ConfigError(
            f"star plan predicts rounds, and {loaded.experiment} only measures: engine.endpoint.url names a "
            "server whose model stays the same. To measure it on fewer problems: star run with "
            "--set evaluate.limit=N"
        )
    config = pilot_config(loaded.config, problems)
    content = config.model_dump(mode="json", exclude={"description", "experiment"})
    name = loaded.experiment
    own = home.plan(f"{name[:50]}-{digest(content)[:10]}")
    if again:
        shutil.rmtree(own.root, ignore_errors=True)
    _share_bases(home, own)
    pilot = LoadedConfig(config, name, loaded.path, loaded.origins)
    # Its own file, wherever the site keeps the tables of experiments.
    session = open_session(own, name, pilot, progress, Store(own, PlainFile(own.store_path)))
    facts = _facts(own.root / _FACTS)
    reused = facts is not None
    run_experiment(session, until="train")
    if facts is None:
        facts = _measure(session)
        write_atomically(own.root / _FACTS, json.dumps(asdict(facts)).encode())
        shutil.rmtree(own.checkpoint(name, 1).parent, ignore_errors=True)
    return Pilot(own, session.store, name, loaded.config, session.base(), problems, facts, reused)


def pilot_config(config: ExperimentConfig, problems: int) -> ExperimentConfig:
    """The config of the pilot: fewer problems, one round, a few training steps; all else as it is."""
    generate, evaluate = config.generate, config.evaluate
    part = {
        "rounds": 1,
        "shards": 1,
        "generate": generate.model_copy(update={"problems": min(problems, generate.problems or problems)}),
        "evaluate": evaluate.model_copy(update={"limit": min(problems, evaluate.limit or problems)}),
        "train": config.train.model_copy(
            update={
                # However few rows there are, the steps are run: their time is wanted, not the model.
                "schedule": "steps",
                "steps": TIMED_STEPS,
                "max_epochs": _NO_LIMIT,
                "variants": None,
                "keep": "all",
                # A tracker follows the experiment, which has not begun.
                "report_to": (),
            }
        ),
    }
    return config.model_copy(update=part)


def _share_bases(home: Home, own: Home) -> None:
    """A base that is pretrained here is made once, for the pilot and for the experiment."""
    home.bases.mkdir(parents=True, exist_ok=True)
    own.root.mkdir(parents=True, exist_ok=True)
    if not own.bases.exists():
        own.bases.symlink_to(Path("..", "..", home.bases.name), target_is_directory=True)


def _facts(path: Path) -> Facts | None:
    return Facts(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _measure(session: Session) -> Facts:
    """Start the engine once more, now without imports, and weigh the checkpoint."""
    first = session.engines.loads[0] if session.engines.loads else 0.0
    session.engines.get(session.config, session.base(), session.progress)
    session.engines.close()
    checkpoints = session.store.rows("checkpoint", experiment=session.experiment, round=1)
    folder = session.home.absolute(checkpoints[0]["path"]) if checkpoints else session.base().path
    return Facts(first or session.engines.loads[-1], session.engines.loads[-1], weight_bytes(folder))
