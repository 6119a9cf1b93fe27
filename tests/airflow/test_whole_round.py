"""`dag.test()` of the launcher and of a whole round, with real stages on the smoke config."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.rounds import STAGES, WRITE
from pipeline.store import Store
from pipeline.store.checks import run_checks
from tests.airflow.conftest import REPOSITORY, Driver, airflow_environment

CODE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
told = {}
for dag_id, conf in json.loads(sys.argv[2]).items():
    run = bag.dags[dag_id].test(run_conf=conf)
    states = {}
    for task in run.get_task_instances():
        states.setdefault(task.task_id, []).append(task.state)
    told[dag_id] = [run.state, states]
print("told:" + json.dumps(told))
"""


def conf(*further: str) -> str:
    launched = {"experiment": "tested", "config": "smoke", "rounds": 1}
    settings = ["generate.problems=20", *further]
    return json.dumps(
        {
            "star": {**launched, "further": settings},
            "star_round": {"experiment": "tested", "round": 1},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True], ids=["separate", "fused"])
def test_whole_round_runs_its_stages_and_skips_what_is_no_part_of_it(
    drive: Driver, tmp_path: Path, fused: bool
) -> None:
    for command in (("db", "migrate"), ("dags", "reserialize")):
        subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=airflow_environment(tmp_path),
            check=True,
            capture_output=True,
            timeout=240,
        )
    ran = drive(CODE, str(REPOSITORY / "dags"), conf(f"generate.fuse={str(fused).lower()}"), timeout=900)
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(ran.stdout.rpartition("told:")[2])
    assert [state for state, _ in told.values()] == ["success", "success"]
    _, states = told["star_round"]
    for stage in STAGES:
        by_write = stage.name in WRITE.stages
        assert states[stage.name] == ["skipped" if stage.only_if or (fused and by_write) else "success"], (
            stage.name
        )
    assert states["write"] == ["success" if fused else "skipped"]
    assert states["next_round"] == ["skipped"]  # the one round was asked for
    store = Store(Home(tmp_path / "star"))
    (round_1,) = [row for row in store.rows("rounds_summary", experiment="tested") if row["round"] == 1]
    assert (round_1["status"], round_1["decision"]) == ("done", "stop")
    assert round_1["training_rows"] > 0 and round_1["checkpoint_hash"]
    assert run_checks(store, "tested", None) == []
