"""Stores to test on."""

import shutil
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from tests.store.known_rows import commit_world


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    made = Store(Home(tmp_path / "home"))
    made.migrate()
    return made


@pytest.fixture(scope="session")
def world_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that every `world` is a copy of."""
    made = Store(Home(tmp_path_factory.mktemp("world")))
    made.migrate()
    commit_world(made)
    return made.home.root


@pytest.fixture
def world(world_home: Path, tmp_path: Path) -> Store:
    """A store with one experiment of two rounds in which every invariant holds (see `commit_world`)."""
    shutil.copytree(world_home, tmp_path / "home")
    return Store(Home(tmp_path / "home"))
