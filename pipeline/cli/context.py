"""What every command starts from: the home, the store, and the experiment or config that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.config import LoadedConfig
    from pipeline.paths import Home
    from pipeline.progress import Progress
    from pipeline.runner import Session
    from pipeline.store import Store


_SHOWN = 20
"""Names listed in an error."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options before the command."""

    home: Path | None = None
    debug: bool = False


def home_of(ctx: typer.Context) -> Home:
    """The home of this call: --home, else STAR_HOME, else runs/."""
    from pipeline.paths import Home

    chosen: Options = ctx.obj
    return Home(chosen.home.expanduser().resolve()) if chosen.home else Home.from_environment()


def store_of(ctx: typer.Context) -> Store:
    """The store of the home; commands that only read get a StoreError from it where there is none."""
    from pipeline.store import Store

    return Store(home_of(ctx))


def known_experiment(store: Store, name: str) -> str:
    """`name` where the store has it; NotReadyError listing what there is otherwise."""
    from pipeline.errors import NotReadyError
    from pipeline.paths import validate_experiment

    validate_experiment(name)
    names = [str(row["experiment"]) for row in store.rows("all_experiments")]
    if name not in names:
        more = f" and {len(names) - _SHOWN} more (star status)" if len(names) > _SHOWN else ""
        there = (
            f"there are: {', '.join(names[:_SHOWN])}{more}"
            if names
            else "it has none yet; start one: star run CONFIG"
        )
        raise NotReadyError(f"experiment {name!r} is not in the store {store}; {there}")
    return name


def known_round(store: Store, experiment: str, round_: int | None) -> None:
    """NotReadyError where an experiment has not begun the round asked for (None: all of them)."""
    from pipeline.errors import NotReadyError

    begun = [int(row["round"]) for row in store.rows("rounds", experiment=experiment)]
    if round_ is not None and begun and round_ not in begun:
        raise NotReadyError(
            f"experiment {experiment} has no round {round_}; its rounds are 0 to {max(begun)}; "
            f"see: star status {experiment}"
        )


def looks_like_file(target: str) -> bool:
    """Whether `target` is meant as a config file, not as a name."""
    return Path(target).is_file() or "/" in target or target.endswith((".yaml", ".yml"))


def is_experiment(home: Home, name: str) -> bool:
    """Whether the store of the home holds an experiment of that name."""
    from pipeline.paths import EXPERIMENT_NAME
    from pipeline.store import Store

    store = Store(home)
    if not EXPERIMENT_NAME.fullmatch(name) or not store.exists():
        return False
    return bool(store.rows("experiment", experiment=name))


def session_for(
    home: Home, target: str, overrides: Sequence[str], experiment: str | None, progress: Progress
) -> Session:
    """The session that `star run TARGET` means: an experiment that exists, or a config (file or shipped)."""
    from pipeline.runner import open_session

    if experiment is None and not looks_like_file(target) and is_experiment(home, target):
        loaded = recorded_config(home, target, overrides) if overrides else None
        return open_session(home, target, loaded, progress)
    loaded = load_named(target, overrides, experiment)
    return open_session(home, loaded.experiment, loaded, progress)


def load_named(target: str, overrides: Sequence[str], experiment: str | None = None) -> LoadedConfig:
    """The config in a file, or the shipped one of that name."""
    from pipeline.config import load_config

    return load_config(Path(target), overrides, experiment=experiment)


def recorded_config(home: Home, name: str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """The config that experiment `name` was started with, and `key=value` changes to it."""
    from pipeline.config.load import LoadedConfig, validate, with_overrides
    from pipeline.store import Store

    store = Store(home)
    known_experiment(store, name)
    row = store.rows("experiment", experiment=name)[0]
    source = f"the recorded config of experiment {name}"
    config = validate(row["config"], source=source)
    origins = {override.partition("=")[0].strip(): "--set" for override in overrides}
    changed = with_overrides(config, overrides, source=source)
    return LoadedConfig(changed, name, home.store_path, origins)
