"""A home of its own to look at and to flag in: a copy of the experiment of tests/experiments.py."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipeline.paths import Home
from pipeline.ui.app import create_app

LOCAL = "http://127.0.0.1:8321"


@pytest.fixture(scope="module")
def home(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the finished experiment's home, changed by the tests of one file only."""
    folder = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(finished / "home", folder)
    return Home(folder)


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    """A browser without cookies at the pages of `home`, where every flag is Anna's."""
    app = create_app(home, author=lambda request: "Anna", hosts=("127.0.0.1", "localhost"))
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as opened:
        yield opened
