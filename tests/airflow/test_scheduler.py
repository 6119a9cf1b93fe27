"""A real scheduler, API server and database: whole experiments, kills, clears and schedules.

The tests share one Airflow and run in order; each uses experiments of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from pipeline.airflow import LAUNCHER, ROUNDS, run_id_of
from pipeline.airflow.api import ApiError
from pipeline.store import StageKey
from pipeline.store.checks import run_checks
from tests.airflow.conftest import airflow_environment
from tests.airflow.running import SITE, Running, content
from tests.experiments import star

pytestmark = pytest.mark.slow
SMALL = {"config": "smoke", "further": ["generate.problems=20"]}
SAME = ("--set", "generate.problems=20")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("airflow"))
    running.start()
    try:
        yield running
    finally:
        alive = running.stop()
    assert alive == [], f"Ctrl-C left {alive}"


def test_two_experiments_at_once_end_with_what_star_run_gives(airflow: Running) -> None:
    runs = {
        name: airflow.launch(experiment=name, rounds=2, **SMALL, **more)
        for name, more in (("one", {}), ("two", {"shards": 2}))
    }
    told = star("run", "smoke", "--experiment", "by-hand", "--rounds", "2", *SAME, home=airflow.home.root)
    assert told.returncode == 0, told.stderr
    for name, run_id in runs.items():
        assert airflow.finish(LAUNCHER, run_id)["state"] == "success", airflow.log()
        for round_ in (1, 2):
            run = airflow.finish_round(name, round_)
            assert run["state"] == "success", (name, round_, airflow.log())
            assert run["note"].startswith(f"round {round_}; ")
    expected = content(airflow.store, "by-hand")
    assert len(expected["checkpoints"]) == 2 and expected["texts"]
    for name in runs:
        found = content(airflow.store, name)
        for kind, rows in expected.items():
            assert found[kind] == rows, (name, kind)
        assert run_checks(airflow.store, name, None) == []
    states = airflow.states(ROUNDS, run_id_of("one", 2))
    assert states["regenerate"] == states["next_round"] == {"skipped"}
    shards = {task["rendered_map_index"] for task in airflow.api.tasks(ROUNDS, run_id_of("two", 1))}
    assert {"shard 0/2", "shard 1/2"} <= shards


@pytest.mark.parametrize(
    "conf", [{"samples": 0}, {"config": "nowhere"}, {"experiment": "../up"}, {"further": ["model.base=x"]}]
)
def test_bad_value_is_refused_before_a_run_exists(airflow: Running, conf: dict[str, object]) -> None:
    before = len(airflow.api.runs(LAUNCHER))
    with pytest.raises(ApiError) as refused:
        airflow.api.trigger(LAUNCHER, conf)
    assert refused.value.status == 400
    assert len(airflow.api.runs(LAUNCHER)) == before


def test_values_that_do_not_fit_together_fail_at_once_without_a_retry(airflow: Running) -> None:
    run_id = airflow.launch(experiment="unfit", config="smoke", samples=3, temperature=0)
    assert airflow.finish(LAUNCHER, run_id)["state"] == "failed"
    (launch,) = [task for task in airflow.api.tasks(LAUNCHER, run_id) if task["task_id"] == "launch"]
    assert launch["try_number"] == 1
    assert not airflow.home.experiment("unfit").exists()


def test_cleared_task_computes_only_what_changed_and_the_launcher_goes_on(airflow: Running) -> None:
    """Needs the experiment `one` of the first test."""
    store, before = airflow.store, content(airflow.store, "one")
    for round_, stage in ((1, "select"), (2, "generate")):
        store.begin(
            StageKey("one", round_, stage),
            shard=0,
            shards=1,
            input_digest="of other code",
            host="h",
            device="cpu",
            versions={},
        )
        store.fail(StageKey("one", round_, stage), shard=0, error="given up")
    run_id = run_id_of("one", 1)
    airflow.clear(run_id, "select")
    airflow.wait(lambda: airflow.api.run(ROUNDS, run_id)["state"] not in ("success",), "the clear", 60)
    run = airflow.finish_round("one", 1)
    states = airflow.states(ROUNDS, run_id)
    assert (run["state"], states["select"], states["train"]) == ("success", {"success"}, {"skipped"})
    status = star("status", "one", "--round", "2", home=airflow.home.root)
    assert "failed" in status.stdout and "stale" in status.stdout
    assert "stale: round 2 of one" in run["note"]
    assert content(store, "one")["texts"] != before["texts"]

    airflow.finish(LAUNCHER, airflow.launch(experiment="one"))
    airflow.wait(lambda: content(store, "one") == before, "round 2 to be made whole again", 300)
    assert airflow.finish_round("one", 2)["state"] == "success"
    states = airflow.states(ROUNDS, run_id_of("one", 2))
    assert (states["generate"], states["verify_generated"]) == ({"success"}, {"skipped"})


def test_more_rounds_are_added_to_an_experiment_that_is_done(airflow: Running) -> None:
    """Needs the experiment `one` of the first test."""
    airflow.finish(LAUNCHER, airflow.launch(experiment="one", rounds=3))
    assert airflow.finish_round("one", 3)["state"] == "success"


def test_second_start_says_that_it_runs_already(airflow: Running) -> None:
    command = [sys.executable, "-m", "pipeline.airflow.standalone", "--port", str(airflow.port)]
    env = airflow_environment(airflow.folder)
    same_home = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert same_home.returncode == 1 and "runs already" in same_home.stderr
    env["AIRFLOW_HOME"] = str(airflow.folder / "another")
    same_port = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert same_port.returncode == 1 and f"PORT={airflow.port + 1}" in same_port.stderr


def test_pages_are_behind_airflows_log_in(airflow: Running) -> None:
    url = f"{airflow.api.url}/star/experiments/by-hand/rationales?round=1"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=30)
    assert refused.value.code == 401
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {airflow.api._token}"})
    with urllib.request.urlopen(request, timeout=120) as page:
        assert "generated" in page.read().decode()
        assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_airflow_listens_on_this_machine_only(airflow: Running) -> None:
    listening = [
        connection.laddr.ip
        for process in airflow.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_task_marked_failed_leaves_no_process_of_its_stage(airflow: Running) -> None:
    run_id = airflow.launch(experiment="marked", config="addition", rounds=1)
    child = airflow.wait(lambda: _stage_process("marked"), "a stage to run", 120)
    airflow.api.call(
        "PATCH", f"/dags/{LAUNCHER}/dagRuns/{run_id}/taskInstances/prepare", {"new_state": "failed"}
    )
    airflow.wait(lambda: not child.is_running(), "the stage to be ended", 60)
    assert _stage_process("marked") is None
    airflow.finish(LAUNCHER, run_id)


def test_everything_killed_in_mid_round_goes_on_after_a_restart(airflow: Running) -> None:
    run_id = airflow.launch(experiment="killed", rounds=1, **SMALL)
    airflow.finish(LAUNCHER, run_id)
    airflow.wait(lambda: _stage_process("killed", "train"), "training to run", 300)
    stages = [process for process in airflow.processes() if "pipeline" in " ".join(_cmdline(process))]
    airflow.kill_everything_of_airflow()
    _, alive = psutil.wait_procs(stages, timeout=30)
    assert alive == []
    airflow.start()
    assert airflow.finish_round("killed", 1)["state"] == "success", airflow.log()
    expected = content(airflow.store, "by-hand")
    found = content(airflow.store, "killed")
    for kind in ("problems", "texts", "verdicts", "selection", "checkpoints"):
        of_round_1 = [row for row in expected[kind] if kind == "problems" or row[0] <= 1]
        assert found[kind] == of_round_1, kind
    assert run_checks(airflow.store, "killed", None) == []


def test_schedule_starts_an_experiment_named_by_date_and_off_means_off(airflow: Running) -> None:
    assert all(run["run_type"] != "scheduled" for run in airflow.api.runs(LAUNCHER))
    airflow.write_site(SITE + "  schedule: {cron: '* * * * *', config: smoke}\n")
    run = airflow.wait(lambda: _of_type(airflow, "scheduled"), "a scheduled run", 180)
    # A run without conf takes the config that the site names when its first task reads the DAG.
    airflow.wait(lambda: _launched(airflow, run["dag_run_id"]), "the scheduled launch", 180)
    airflow.write_site(SITE)
    assert airflow.finish(LAUNCHER, run["dag_run_id"])["state"] == "success"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    names = [row["experiment"] for row in airflow.store.rows("all_experiments")]
    assert any(name.startswith(f"smoke-{day[:7]}") for name in names), names


def test_asset_starts_an_experiment_and_a_round_that_is_late_is_reported(airflow: Running) -> None:
    asset = "s3://problems/new-ones"
    second = 1 / 3600
    schedule = f"schedule: {{asset: '{asset}', config: smoke}}"
    airflow.write_site(f"{SITE}  deadline_hours: {second}\n  {schedule}\n")
    [found] = airflow.wait(lambda: _assets(airflow, asset), "Airflow to know the asset", 120)
    airflow.api.call("POST", "/assets/events", {"asset_id": found["id"]})
    run = airflow.wait(lambda: _of_type(airflow, "asset_triggered"), "a run that the asset started", 120)
    airflow.wait(lambda: _launched(airflow, run["dag_run_id"]), "its launch", 180)
    late = airflow.wait(lambda: _late_report(airflow), "the report of a late round", 180)
    airflow.write_site(SITE)
    assert "airflow.deadline_hours" in late
    assert airflow.finish(LAUNCHER, run["dag_run_id"])["state"] == "success"


def _assets(airflow: Running, uri: str) -> list[dict[str, object]]:
    return [one for one in airflow.api.call("GET", "/assets")["assets"] if one["uri"] == uri]


def _late_report(airflow: Running) -> str | None:
    """The line of a log of Airflow that says so."""
    for log in (airflow.folder / "airflow" / "logs").rglob("*"):
        if log.is_file():
            for line in log.read_text(errors="replace").splitlines():
                if "is late" in line:
                    return line
    return None


def _of_type(airflow: Running, run_type: str) -> dict[str, object] | None:
    runs = (run for run in airflow.api.runs(LAUNCHER) if run["run_type"] == run_type)
    return next(runs, None)


def _launched(airflow: Running, run_id: str) -> bool:
    return airflow.states(LAUNCHER, run_id).get("launch") == {"success"}


def _stage_process(experiment: str, stage: str | None = None) -> psutil.Process | None:
    """A running `star stage` of the experiment, not its supervisor."""
    for process in psutil.process_iter():
        command = _cmdline(process)
        wanted = {"stage", experiment, *([stage] if stage else [])}
        if wanted <= set(command) and not any("supervisor" in part for part in command):
            return process
    return None


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
