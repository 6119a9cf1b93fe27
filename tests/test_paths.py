"""Names become folders and keys, so they are validated; stored paths never leave the home."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.paths import Home, package_data, validate_experiment, write_atomically


@pytest.mark.parametrize("name", ["", "A", "-a", "a_b", "a/b", "../a", "a" * 64, "a b", "a\n"])
def test_experiment_name_that_could_harm_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="experiment name"):
        validate_experiment(name)


@pytest.mark.parametrize("name", ["a", "gsm8k-qwen-05b", "0", "a" * 63])
def test_experiment_name_of_the_form_is_taken(name: str) -> None:
    assert validate_experiment(name) == name


def test_stored_path_that_climbs_out_of_the_home_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(ConfigError, match="leaves the home"):
        home.absolute("../elsewhere")
    with pytest.raises(ConfigError, match="outside the home"):
        home.relative(tmp_path / "elsewhere")


def test_stored_path_round_trips(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = home.checkpoint("demo", 3) / "abc"
    assert home.relative(path) == "experiments/demo/round-003/checkpoints/main/abc"
    assert home.absolute(home.relative(path)) == path


def test_package_data_has_the_shipped_configs_and_queries() -> None:
    assert (package_data("sql") / "queries" / "experiment.sql").is_file()
    assert list(package_data("configs").glob("*.yaml"))


def test_package_data_of_an_unknown_kind_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match="reinstall"):
        package_data("nothing")


def test_write_atomically_replaces_the_whole_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert [file.name for file in target.parent.iterdir()] == ["file"]
