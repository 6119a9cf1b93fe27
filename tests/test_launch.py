"""What Airflow asks the store: the config, which round is next, which are stale, and whether problems arrived."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.launch import what_follows
from pipeline.paths import Home
from pipeline.progress import LogProgress
from pipeline.runner import Session, open_session
from pipeline.store import Store
from tests.experiments import make_once, star


@pytest.fixture
def folder(shared_root: Path, tmp_path: Path) -> Path:
    """A copy of the experiment `sums` after its two rounds, to be changed."""
    return Path(shutil.copytree(make_once(shared_root, "finished", 2), tmp_path / "mine"))


def session(folder: Path) -> Session:
    return open_session(Home(folder / "home"), "sums", None, LogProgress())


def launch(folder: Path, *arguments: str) -> dict[str, Any]:
    config = folder / "project" / "sums.yaml"
    told = star("launch", str(config), *arguments, "--json", home=folder / "home")
    assert told.returncode == 0, told.stderr
    document: dict[str, Any] = json.loads(told.stdout)
    return document


def test_after_the_last_round_nothing_follows(folder: Path) -> None:
    assert what_follows(session(folder), 2).round is None


def test_after_round_0_of_a_finished_experiment_nothing_follows(folder: Path) -> None:
    following = what_follows(session(folder), 0)
    assert (following.round, following.stale) == (None, ())


def test_more_rounds_than_were_asked_for_have_the_last_decided_again(folder: Path) -> None:
    one = session(folder)
    one.config = one.config.model_copy(update={"rounds": 4})
    assert what_follows(one, 0).round == 2


def test_launch_of_a_new_experiment_writes_a_config_that_runs_to_the_same_rows(folder: Path) -> None:
    told = launch(folder, "--experiment", "again", "--set", "rounds=1", "--set", "shards=2")
    assert (told["new"], told["rounds"], told["shards"]) == (True, 1, 2)
    home = Home(folder / "home")
    ran = star("run", str(home.absolute(told["config"])), home=home.root)
    assert ran.returncode == 0, ran.stderr
    texts = "select problem_id, sample, text from current_rationales where experiment = ? and round = 1 order by all"
    store = Store(home)
    with store.reading() as connection:
        again, sums = (connection.execute(texts, [name]).fetchall() for name in ("again", "sums"))
    assert again == sums and again


def test_launch_of_an_existing_experiment_keeps_its_config_and_changes_the_rounds(folder: Path) -> None:
    told = launch(folder, "--experiment", "sums", "--set", "rounds=5")
    assert (told["new"], told["rounds"]) == (False, 5)


def test_launch_that_changes_what_decides_the_outcome_is_refused(folder: Path) -> None:
    config = str(folder / "project" / "sums.yaml")
    told = star("launch", config, "--experiment", "sums", "--set", "generate.samples=3", home=folder / "home")
    assert told.returncode == 64
    assert "generate.samples: 2, 3" in told.stderr


def add_problems(folder: Path, *rows: dict[str, str]) -> None:
    with (folder / "project" / "train.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


NEW = {"id": "p9", "question": "What is 50 + 51?", "answer": "101", "level": "easy"}
HELD_OUT = {"id": "p10", "question": "What is 20 + 1?", "answer": "21", "level": "easy"}  # dev asks it


def test_continue_without_new_problems_does_nothing(folder: Path) -> None:
    told = launch(folder, "--experiment", "other", "--continue-newest")
    assert "no new problems" in told["nothing_new"]
    assert not (folder / "home" / "experiments" / "other").exists()


def test_continue_with_new_problems_adds_rounds_that_use_them_and_leaves_the_others(folder: Path) -> None:
    before = rounds(folder)
    add_problems(folder, NEW, HELD_OUT)
    told = launch(folder, "--experiment", "other", "--continue-newest")
    assert (told["experiment"], told["new"], told["rounds"]) == ("sums", False, 4)
    ran = star("run", str(folder / "home" / told["config"]), home=folder / "home")
    assert ran.returncode == 0, ran.stderr
    assert "2 new problems in the files: 1 join, 1 left out" in ran.stderr
    after = rounds(folder)
    assert after[:2] == before[:2]
    assert after[2][1:] == before[2][1:]
    digests = [row[1] for row in after]
    assert digests[0] == digests[1] == digests[2] != digests[3] == digests[4]
    tried = "select round, problem_id in ('p9') from current_rationales where experiment = 'sums' and problem_id like 'p%'"
    by_round: dict[int, bool] = {}
    for round_, new in Store(Home(folder / "home")).query_readonly(tried)[1]:
        by_round[round_] = by_round.get(round_, False) or new
    assert by_round == {1: False, 2: False, 3: True, 4: True}
    left_out = (
        "select round, problem_id, reason from rejections where experiment = 'sums' and rationale_id is null"
    )
    assert (3, "p10", "contaminated") in Store(Home(folder / "home")).query_readonly(left_out)[1]
    again = launch(folder, "--experiment", "other", "--continue-newest")
    assert "no new problems" in again["nothing_new"]


def test_continue_without_an_experiment_starts_a_new_one(folder: Path) -> None:
    told = launch(folder, "--experiment", "other", "--continue-newest", "--set", "generate.samples=3")
    assert (told["experiment"], told["new"]) == ("other", True)


def rounds(folder: Path) -> list[tuple[Any, ...]]:
    query = "select round, problems_digest, model_hash from rounds where experiment = 'sums' order by round"
    return list(Store(Home(folder / "home")).query_readonly(query)[1])
