"""The DAGs: they import, are wired as the list of stages says, and cost little to read."""

import json

import pytest

from pipeline.rounds import STAGES
from tests.airflow.conftest import REPOSITORY, Driver

STRUCTURE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
def described(task):
    operator = getattr(task, "partial_kwargs", None) or vars(task)
    return {
        "downstream": sorted(task.downstream_task_ids), "mapped": task.is_mapped, "pool": task.pool,
        "queue": task.queue, "retries": task.retries, "timeout": task.execution_timeout.total_seconds(),
        "priority": task.priority_weight, "rule": getattr(task.trigger_rule, "value", task.trigger_rule), "owner": task.owner,
        "callback": bool(task.on_failure_callback), "doc": bool(task.doc_md),
        "links": sorted(link.name for link in task.operator_extra_links),
    }
print(json.dumps({
    "errors": bag.import_errors,
    "dags": {dag.dag_id: {
        "tasks": {task.task_id: described(task) for task in dag.topological_sort()},
        "order": [task.task_id for task in dag.topological_sort()],
        "doc": dag.doc_md, "tags": sorted(dag.tags), "paused": dag.is_paused_upon_creation,
        "timetable": type(dag.timetable).__name__, "catchup": dag.catchup, "deadline": bool(dag.deadline),
    } for dag in bag.dags.values()},
}))
"""

PARSE = """
import sys, time
import airflow.sdk, airflow.sdk.definitions.deadline, airflow.sdk.definitions.callback
import runpy
started = time.process_time()
for file in ("star", "star_round"):
    runpy.run_path(f"{sys.argv[1]}/{file}.py", run_name=f"unusual_prefix_{file}")
heavy = {"torch", "vllm", "duckdb", "transformers", "trl", "pandas", "pyarrow"} & set(sys.modules)
print(time.process_time() - started, ",".join(sorted(heavy)))
"""

SITE = """
airflow:
  owner: maths
  tags: [star, nightly]
  schedule: {cron: "0 2 * * *", timezone: Europe/Berlin, config: smoke}
  retries: 5
  deadline_hours: 6
  gpu: {pool: gpu, queue: big, priority: 7, timeout_hours: 2}
  cpu: {queue: small}
"""


def structure(drive: Driver, **env: str) -> dict[str, dict]:
    told = drive(STRUCTURE, str(REPOSITORY / "dags"), **env)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.strip().splitlines()[-1])
    assert found["errors"] == {}
    return found["dags"]


def test_dags_are_wired_as_the_list_of_stages_says(drive: Driver) -> None:
    dags = structure(drive)
    assert set(dags) == {"star", "star_round"}
    later = [stage.name for stage in STAGES if stage.rounds != "zero"]
    zero = [stage.name for stage in STAGES if stage.rounds != "later"]
    assert set(dags["star_round"]["order"]) == {*later, "write", "next_round"}
    assert dags["star"]["order"] == ["launch", *zero, "next_round"]
    for dag in dags.values():
        order = [name for name in dag["order"] if name != "write"]
        assert order in ([*later, "next_round"], ["launch", *zero, "next_round"])
        for name, follower in zip(order, order[1:], strict=False):
            downstream = set(dag["tasks"][name]["downstream"])
            # prepare also gives the mapped stages their shards
            assert follower in downstream
            # regenerate may be skipped early; write goes on from what generate goes on from
            further = {"verify_rationalized": {"select"}, "choose_temperature": {"write"}}.get(name, set())
            assert name == "prepare" or downstream == {follower} | further
        for stage in STAGES:
            if stage.name in dag["tasks"]:
                assert dag["tasks"][stage.name]["mapped"] == stage.sharded
                assert dag["tasks"][stage.name]["links"] == ["Report", "Rows of the round"]
        assert all(task["rule"] == "none_failed" for task in dag["tasks"].values())
        assert all(task["callback"] and task["doc"] for task in dag["tasks"].values())
        assert dag["doc"] and not dag["paused"] and not dag["catchup"]


def test_dags_have_the_fused_task_beside_the_stages_that_it_runs(drive: Driver) -> None:
    dags = structure(drive)
    assert "write" not in dags["star"]["tasks"]
    write = dags["star_round"]["tasks"]["write"]
    assert "write" in dags["star_round"]["tasks"]["prepare"]["downstream"]
    assert write["downstream"] == ["select", "verify_generated"]
    assert write["mapped"] and write["links"] == ["Report", "Rows of the round"]


def test_dags_by_default_have_no_schedule_and_need_no_pool(drive: Driver) -> None:
    dags = structure(drive)
    assert {dag["timetable"] for dag in dags.values()} == {"NullTimetable"}
    for dag in dags.values():
        assert {task["pool"] for task in dag["tasks"].values()} == {"default_pool"}
        assert min(task["retries"] for task in dag["tasks"].values()) >= 3


def test_dags_take_schedule_pools_queues_and_limits_from_the_site(drive: Driver, tmp_path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    dags = structure(drive, STAR_SITE=str(tmp_path / "site.yaml"))
    assert dags["star"]["timetable"] == "CronTriggerTimetable"
    assert dags["star_round"]["timetable"] == "NullTimetable"
    assert dags["star_round"]["deadline"] and not dags["star"]["deadline"]
    for dag in dags.values():
        assert dag["tags"] == ["nightly", "star"]
        for stage in STAGES:
            task = dag["tasks"].get(stage.name)
            if task is not None:
                assert task["owner"] == "maths" and task["retries"] == 5
                expected = ("gpu", "big", 7, 7200.0) if stage.gpu else ("default_pool", "small", 1, 86400.0)
                assert (task["pool"], task["queue"], task["priority"], task["timeout"]) == expected


def test_dags_of_a_site_with_judges_on_gpus_grade_where_models_are_loaded(drive: Driver, tmp_path) -> None:
    (tmp_path / "site.yaml").write_text("airflow: {judge_on_gpu: true, gpu: {pool: gpu}}")
    tasks = structure(drive, STAR_SITE=str(tmp_path / "site.yaml"))["star_round"]["tasks"]
    graded = {"verify_generated", "verify_rationalized", "verify_regenerated", "verify_evaluated"}
    loaded = {"write", *(stage.name for stage in STAGES if stage.gpu)}
    assert {name for name, task in tasks.items() if task["pool"] == "gpu"} == graded | loaded


def test_dags_with_an_asset_schedule_follow_that_asset(drive: Driver, tmp_path) -> None:
    (tmp_path / "site.yaml").write_text('airflow: {schedule: {asset: "s3://problems/math"}}')
    dags = structure(drive, STAR_SITE=str(tmp_path / "site.yaml"))
    assert dags["star"]["timetable"] == "AssetTriggeredTimetable"


@pytest.mark.parametrize("folder", ["dags"])
def test_dag_files_cost_under_a_second_and_import_nothing_heavy(drive: Driver, folder: str) -> None:
    told = drive(PARSE, str(REPOSITORY / folder))
    assert told.returncode == 0, told.stderr
    seconds, _, heavy = told.stdout.strip().splitlines()[-1].partition(" ")
    assert heavy == ""
    assert float(seconds) < 1.0  # processor time: the machine may be busy


def test_dag_files_hold_no_logic() -> None:
    for file in (REPOSITORY / "dags").glob("*.py"):
        code = file.read_text().split('"""')[2]
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) == 2 and lines[0].startswith("from pipeline.airflow.wiring import")
