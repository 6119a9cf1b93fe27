"""A fork goes on from a finished round with other settings, and neither experiment can hurt the other."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config import ExperimentConfig
from pipeline.config.load import with_overrides
from pipeline.errors import ConfigError, NotReadyError
from pipeline.fork import fork
from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.checks import run_checks
from tests.experiments import NAME, star

pytestmark = pytest.mark.slow


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Home:
    shutil.copytree(finished / "home", tmp_path / "home")
    return Home(tmp_path / "home")


def changed(store: Store, *overrides: str) -> ExperimentConfig:
    recorded = store.rows("experiment", experiment=NAME)[0]["config"]
    return with_overrides(ExperimentConfig.model_validate(recorded), overrides, source="test")


def test_fork_has_the_rounds_and_its_own_links_to_the_checkpoints(home: Home) -> None:
    store = Store(home)
    made = fork(store, home, NAME, "other", 1, changed(store, "train.learning_rate=0.002"))
    assert (made.rounds, made.without_checkpoint) == (2, ())
    assert [row["status"] for row in store.rows("rounds", experiment="other")] == ["forked", "forked"]
    (old,) = [row for row in store.rows("checkpoints", experiment=NAME) if row["round"] == 1]
    (new,) = store.rows("checkpoints", experiment="other")
    assert new["content_hash"] == old["content_hash"]
    assert new["path"] == old["path"].replace(f"experiments/{NAME}/", "experiments/other/")
    weights = [home.absolute(row["path"]) / "model.safetensors" for row in (old, new)]
    assert weights[0].samefile(weights[1])
    shutil.rmtree(weights[0].parent)
    assert weights[1].stat().st_size > 0
    assert run_checks(store, "other") == []
    row = store.rows("experiment", experiment="other")[0]
    assert row["config"]["train"]["learning_rate"] == 0.002
    assert row["config_digest"] != store.rows("experiment", experiment=NAME)[0]["config_digest"]
    assert f"forked from {NAME} after round 1" in row["config"]["description"]


def test_fork_goes_on_from_the_command_line_and_leaves_its_rounds_alone(home: Home) -> None:
    told = star("fork", NAME, "other", "--from-round", "1", "--set", "select.per_problem=2", home=home.root)
    assert told.returncode == 0, told.stderr
    told = star("run", "other", "--json", home=home.root)
    assert told.returncode == 0, told.stderr
    rounds = [json.loads(line) for line in told.stdout.splitlines()][:-1]
    assert [row["status"] for row in rounds] == ["forked", "forked", "done"]
    source = {row["round"]: row for row in Store(home).rows("rounds_summary", experiment=NAME)}
    assert rounds[1]["training_rows"] == source[1]["training_rows"] == 3
    assert rounds[2]["training_rows"] == 4 and source[2]["training_rows"] == 3
    assert run_checks(Store(home), "other") == []
    told = star("stage", "select", "other", "--round", "1", "--force", home=home.root)
    assert (told.returncode, "was forked, and stays as it was run" in told.stderr) == (64, True)


def test_fork_cannot_change_what_round_zero_recorded(home: Home) -> None:
    store = Store(home)
    with pytest.raises(ConfigError, match=r"prompts.question: .*\n.*star run CONFIG --experiment other"):
        fork(store, home, NAME, "other", 1, changed(store, "prompts.question=Asked {question}"))
    assert not home.experiment("other").exists()


def test_fork_of_what_is_not_there_says_what_to_do(home: Home) -> None:
    store = Store(home)
    with pytest.raises(ConfigError, match="exists already"):
        fork(store, home, NAME, NAME, 1, changed(store))
    with pytest.raises(NotReadyError, match="round 3 .* is not finished .the last finished one is 2"):
        fork(store, home, NAME, "other", 3, changed(store))
    path = home.absolute(store.rows("checkpoint", experiment=NAME, round=2)[0]["path"])
    shutil.rmtree(path)
    with pytest.raises(NotReadyError, match=f"star stage train {NAME} --round 2 --force"):
        fork(store, home, NAME, "other", 2, changed(store))
    assert [row["experiment"] for row in store.rows("all_experiments")] == [NAME]
