"""Exit codes and outcomes of `star` in Airflow's terms."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
)
from airflow.sdk.execution_time import task_runner

from pipeline.airflow.callbacks import record_failure
from pipeline.airflow.child import child_environment, run_star
from pipeline.airflow.form import FIELDS
from pipeline.airflow.operators import LaunchOperator, NextRoundOperator, StageOperator
from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import make_once


class Instance:
    """What the operators ask of a task instance, answered without Airflow's server."""

    def __init__(
        self, pulled: Mapping[tuple[str, str], Any] | None = None, runs: Mapping[str, str] | None = None
    ):
        self.pulled, self.runs = dict(pulled or {}), dict(runs or {})
        self.pushed: dict[str, Any] = {}
        self.is_paused = False

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self.pulled[task_ids, key]

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value

    def get_dr_count(self, *, dag_id: str, run_ids: list[str]) -> int:
        return sum(run in self.runs for run in run_ids)

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self.runs[run_id]

    def get_dag(self, dag_id: str) -> "Instance":
        return self


@pytest.fixture
def home(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An experiment `sums` whose two rounds are done."""
    folder = make_once(shared_root, "finished", 2) / "home"
    monkeypatch.setenv("STAR_HOME", str(folder))
    return Home(folder)


def stage(name: str, round_: str = "1", **further: Any) -> StageOperator:
    return StageOperator(task_id=name, stage=name, experiment="sums", round_=round_, **further)


def test_stage_that_is_done_is_skipped(home: Home) -> None:
    with pytest.raises(AirflowSkipException, match="was done"):
        stage("verify_generated", shard="0/1").execute({"ti": Instance()})


def test_prepare_that_is_done_still_tells_the_shards(home: Home) -> None:
    instance = Instance()
    assert stage("prepare").execute({"ti": instance}) == ["0/1"]
    assert "generate" in instance.pushed["stages"] and "regenerate" not in instance.pushed["stages"]


def test_prepare_skips_what_is_no_part_of_the_round_before_it_starts(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=lambda msg: told.append(msg)), raising=False
    )
    stage("prepare", skips=("write", "generate", "regenerate")).execute({"ti": Instance()})
    assert [(message.type, message.tasks) for message in told] == [
        ("SkipDownstreamTasks", ["write", "regenerate"])
    ]


def test_optional_stage_that_is_no_part_of_the_round_is_skipped_without_a_process(home: Home) -> None:
    instance = Instance({("prepare", "stages"): ["prepare", "generate"]})
    with pytest.raises(AirflowSkipException, match="no part"):
        stage("regenerate", optional=True, shard="0/1").execute({"ti": instance})


def test_decide_tells_what_follows_also_where_it_was_done(home: Home) -> None:
    instance = Instance()
    with pytest.raises(AirflowSkipException):
        stage("decide").execute({"ti": instance})
    assert instance.pushed["following"] == {"round": None, "stale": [], "redo": False}
    assert instance.pushed["sentence"].startswith("round 1; ")


def test_stage_with_a_bad_name_fails_without_a_retry(home: Home) -> None:
    with pytest.raises(AirflowFailException, match="64"):
        stage("nonsense").execute({"ti": Instance()})


def test_stage_of_a_round_that_cannot_be_fails_without_a_retry(home: Home) -> None:
    with pytest.raises(AirflowFailException, match="66"):
        stage("train", round_="9").execute({"ti": Instance()})


def test_stage_that_someone_else_runs_is_tried_again(home: Home) -> None:
    with (
        Store(home).lease("sums", "star run"),
        pytest.raises(AirflowException, match="someone else") as raised,
    ):
        stage("generate").execute({"ti": Instance()})
    assert not isinstance(raised.value, AirflowFailException)


def test_next_round_that_exists_not_is_triggered_under_its_own_name() -> None:
    instance = Instance({("decide", "following"): {"round": 2, "stale": [], "redo": False}})
    with pytest.raises(DagRunTriggerException) as raised:
        following().execute({"ti": instance})
    asked = raised.value
    assert (asked.trigger_dag_id, asked.dag_run_id, asked.reset_dag_run) == (
        "star_round",
        "sums__r002",
        False,
    )
    assert asked.conf == {"experiment": "sums", "round": 2}


def test_next_round_that_is_stale_is_said_and_left_alone() -> None:
    told = {"round": 2, "stale": [2, 3], "redo": False}
    instance = Instance({("decide", "following"): told}, runs={"sums__r002": "success"})
    with pytest.raises(AirflowSkipException, match="left as it is"):
        following().execute({"ti": instance})
    assert "round 2, 3 of sums" in instance.pushed["note"]


@pytest.mark.parametrize(("launcher", "asked_since"), [(True, False), (False, True)])
def test_next_round_that_is_stale_is_done_again_where_the_launcher_was_asked(
    launcher: bool, asked_since: bool
) -> None:
    told = {"round": 2, "stale": [2], "redo": asked_since}
    instance = Instance({("decide", "following"): told}, runs={"sums__r002": "success"})
    with pytest.raises(DagRunTriggerException) as raised:
        following(redo=launcher).execute({"ti": instance})
    assert raised.value.reset_dag_run


def test_next_round_that_is_being_run_is_left_alone() -> None:
    told = {"round": 2, "stale": [], "redo": True}
    instance = Instance({("decide", "following"): told}, runs={"sums__r002": "running"})
    with pytest.raises(AirflowSkipException, match="is being run"):
        following(redo=True).execute({"ti": instance})


def test_next_round_after_a_stop_is_skipped() -> None:
    instance = Instance({("decide", "following"): {"round": None, "stale": [], "redo": False}})
    with pytest.raises(AirflowSkipException, match="no further round"):
        following().execute({"ti": instance})


def following(redo: bool = False) -> NextRoundOperator:
    return NextRoundOperator(task_id="next_round", experiment="sums", redo=redo)


def test_failure_of_a_killed_stage_is_recorded(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.store import StageKey

    folder = make_once(shared_root, "killed", 1, "--until", "select") / "home"
    monkeypatch.setenv("STAR_HOME", str(folder))
    store = Store(Home(folder))
    for task, killed in (("train", "train"), ("write", "regenerate")):
        key = StageKey("sums", 1, killed)
        store.begin(key, shard=0, shards=1, input_digest="x", host="h", device="cpu", versions={})
        record_failure({"task": stage(task), "exception": RuntimeError("out of time")})
        rows = store.query_readonly("select status, error from stage_runs where stage = ?", [killed])[1]
        assert rows == [("failed", "Airflow: out of time")]


def test_launch_that_is_to_continue_without_new_problems_skips_all_that_follows(home: Home) -> None:
    launch = LaunchOperator(
        task_id="launch", configs={"sums": str(home.root.parent / "project" / "sums.yaml")}
    )
    params = dict.fromkeys([*FIELDS, "experiment"]) | {
        "config": "sums",
        "continue_newest": True,
        "further": [],
    }
    run = SimpleNamespace(run_after=datetime(2026, 11, 21, tzinfo=UTC))
    follows = SimpleNamespace(get_flat_relative_ids=lambda upstream: {"prepare", "evaluate"})
    with pytest.raises(DownstreamTasksSkipped) as raised:
        launch.execute({"dag_run": run, "params": params, "task": follows})
    assert raised.value.tasks == ["evaluate", "prepare"]


def test_child_sees_nothing_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://user:secret@host/db")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", "secret")
    assert not any("secret" in value for value in child_environment().values())


def test_child_lines_are_cleaned_before_they_reach_a_log(home: Home) -> None:
    lines: list[str] = []
    told = run_star(["show", "sums", "--round", "1", "--limit", "50"], say=lines.append, grace_s=1.0)
    assert told.exit_code == 0
    text = "\n".join(lines)
    assert "red" in text and "\x1b" not in text and "\u202e" not in text
