"""The smoke experiment with its store in DuckLake, by `star run` and by Celery workers of which one dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.checks import run_checks
from tests.servers import PASSWORD, PASSWORD_VARIABLE, Postgres, ending_with_us, free_port, postgres, redis
from tests.test_kill import OUTCOME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

CONFIG = "smoke"
SHARDS = 4
PATIENCE_S = 900.0
# What a machine that vanished costs; far below the defaults, which are minutes and a day.
HEARTBEAT_S, VISIBILITY_S = 30, 55


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home in which `star run` finished the experiment on a plain store."""
    home = Home(tmp_path_factory.mktemp("plain"))
    star_run(home)
    return home


def star_run(home: Home) -> None:
    command = [sys.executable, "-m", "pipeline", "run", CONFIG, "--set", f"shards={SHARDS}"]
    done = subprocess.run(
        command,
        env={**os.environ, "STAR_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def outcome(home: Home, rounds: int) -> dict[str, list[tuple[Any, ...]]]:
    """What rounds up to `rounds` came to: current rows only, without times and places."""
    store, of_rounds = Store(home), f" where not superseded and round <= {rounds} order by "
    queries = {name: sql if " order by " in sql else f"{sql} order by all" for name, sql in OUTCOME.items()}
    return {
        name: store.query_readonly(sql.replace(" order by ", of_rounds))[1] for name, sql in queries.items()
    }


@pytest.fixture
def shared(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose site settings name a database for its store; its password is in our environment."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    url = server.new_database(f"star_{os.urandom(6).hex()}")
    (home.root / "site.yaml").write_text(yaml.safe_dump({"store": {"url": url}}))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return home


def test_star_run_on_ducklake_equals_star_run_on_a_file(plain: Home, shared: Home) -> None:
    expected = outcome(plain, 2)
    star_run(shared)
    assert not shared.store_path.exists()
    assert outcome(shared, 2) == expected
    assert run_checks(Store(shared), CONFIG) == []


@dataclass
class Cluster:
    """Airflow with CeleryExecutor: its own services, and workers that stand for machines."""

    folder: Path
    environment: dict[str, str]
    services: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, before: Sequence[str] = ()) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.services[name] = subprocess.Popen(
                [*ending_with_us(), *before, sys.executable, "-m", "airflow", *arguments],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def airflow(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def start_worker(self, name: str) -> None:
        """A worker with a host name of its own where we may give it one."""
        arguments = ["celery", "worker", "--concurrency", "2", "--celery-hostname", f"{name}@star"]
        before = (
            ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"] if own_hostnames() else []
        )
        self.start(name, *arguments, "--skip-serve-logs", before=before)

    def kill(self, name: str) -> None:
        """End a service and everything it started, at once: its machine is gone."""
        process = self.services.pop(name)
        root = psutil.Process(process.pid)
        tree = [root, *root.children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # nobody sees another die, let alone says so
            for each in tree:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(number)
        process.wait(20)

    def stop(self) -> None:
        trees = [
            each
            for process in self.services.values()
            if process.poll() is None
            for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        ]
        for process in self.services.values():
            process.terminate()
        _, alive = psutil.wait_procs(trees, timeout=15)
        for each in alive:
            each.kill()
        for process in self.services.values():
            process.wait(20)

    def log(self) -> str:
        return "\n".join(
            f"== {file.name}\n{file.read_text(errors='replace')[-2500:]}"
            for file in self.folder.glob("*.log")
        )

    def wait_until(self, what: str, holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not holds():
            ended = [name for name, process in self.services.items() if process.poll() is not None]
            assert not ended, f"{ended} ended: {self.log()}"
            assert time.monotonic() < deadline, f"{what} did not come within {patience_s:g} s: {self.log()}"
            time.sleep(0.5)


def own_hostnames() -> bool:
    command = ["unshare", "--uts", "hostname", "star-test"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def hosts_of(home: Home, condition: str) -> list[str]:
    """Where stages ran for which the condition holds."""
    with Store(home).reading() as connection:
        rows = connection.execute(f"SELECT DISTINCT host FROM stage_runs WHERE {condition} ORDER BY host")
        return [host for (host,) in rows.fetchall()]


@contextmanager
def cluster(server: Postgres, folder: Path, home: Home) -> Iterator[Cluster]:
    """A running one without workers, its metadata in Postgres, its broker Redis."""
    pytest.importorskip("airflow.providers.celery", reason="the extra [celery] is not installed")
    pytest.importorskip("asyncpg", reason="the extra [celery] is not installed")
    repository = Path(__file__).resolve().parent.parent
    server.sql("CREATE DATABASE airflow")
    metadata = f"postgresql+psycopg://star:{PASSWORD}@127.0.0.1:{server.port}/airflow"
    port = free_port()
    with redis(folder) as broker, ExitStack() as stack:
        settings = {
            "core__executor": "CeleryExecutor",
            "core__dags_folder": str(repository / "dags"),
            "core__load_examples": "False",
            "core__simple_auth_manager_all_admins": "True",
            "core__execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
            "core__parallelism": "4",
            "database__sql_alchemy_conn": metadata,
            "api__host": "127.0.0.1",
            "api__port": str(port),
            "api__base_url": f"http://127.0.0.1:{port}",
            "api__workers": "1",
            "api__secret_key": "one-for-all-machines",
            "api_auth__jwt_secret": "one-for-all-machines-of-enough-length-for-sha512-signatures-and-no-warning",
            "celery__broker_url": f"redis://127.0.0.1:{broker}/0",
            "celery__result_backend": f"db+{metadata}",
            "celery__worker_prefetch_multiplier": "1",
            "celery_broker_transport_options__visibility_timeout": str(VISIBILITY_S),
            "scheduler__task_instance_heartbeat_sec": "5",
            "scheduler__task_instance_heartbeat_timeout": str(HEARTBEAT_S),
            "scheduler__task_instance_heartbeat_timeout_detection_interval": "5",
            "scheduler__task_queued_timeout": str(VISIBILITY_S),
            "scheduler__task_queued_timeout_check_interval": "10",
            "scheduler__enable_health_check": "False",
            "usage_data_collection__enabled": "False",
        }
        made = Cluster(
            folder,
            {
                **os.environ,
                **{f"AIRFLOW__{key.upper()}": value for key, value in settings.items()},
                "AIRFLOW_HOME": str(folder / "airflow"),
                "STAR_HOME": str(home.root),
                "PYTHONPATH": str(repository),
            },
        )
        stack.callback(made.stop)
        made.airflow("db", "migrate")
        made.start("api-server", "api-server", "--workers", "1")
        made.start("dag-processor", "dag-processor")
        made.start("scheduler", "scheduler")
        yield made


def test_celery_worker_killed_in_mid_round_costs_time_and_nothing_else(
    server: Postgres, plain: Home, shared: Home, tmp_path: Path
) -> None:
    expected = outcome(plain, 1)

    def tasks(condition: str) -> list[tuple[object, ...]]:
        query = f"SELECT hostname, task_id, map_index, try_number FROM task_instance WHERE {condition}"
        return server.sql(query, "airflow")

    with cluster(server, tmp_path, shared) as airflow:
        airflow.start_worker("worker-a")
        airflow.start_worker("worker-b")
        airflow.wait_until(
            "the DAGs", lambda: len(server.sql("SELECT dag_id FROM dag", "airflow")) == 2, patience_s=180
        )
        conf = json.dumps({"experiment": CONFIG, "config": CONFIG, "shards": SHARDS, "rounds": 1})
        airflow.airflow("dags", "trigger", "star", "--conf", conf)

        hosts: list[str] = []

        def generates() -> bool:
            """Whether a shard of round 1 is being generated: it holds its lease, and the base is asked."""
            if tasks("dag_id = 'star_round' AND task_id = 'generate' AND state = 'running'"):
                hosts[:] = hosts_of(shared, "stage = 'generate' AND round = 1 AND status = 'running'")
            return bool(hosts)

        airflow.wait_until("a shard being generated", generates)
        victim = hosts[0] if hosts[0] in airflow.services else "worker-b"
        airflow.kill(victim)
        airflow.wait_until(
            "the end of the experiment",
            lambda: bool(
                server.sql(
                    "SELECT 1 FROM dag_run WHERE run_id = 'smoke__r001' AND state IN ('success', 'failed')",
                    "airflow",
                )
            ),
        )
        states = server.sql("SELECT run_id, state FROM dag_run ORDER BY run_id", "airflow")
        assert {state for _, state in states} == {"success"} and len(states) == 2, (states, airflow.log())
        assert tasks("try_number > 1 AND state = 'success'"), "the kill hit no task"
        print(f"killed: {victim}; tried again: {tasks('try_number > 1')}")

    assert outcome(shared, 1) == expected
    assert run_checks(Store(shared), CONFIG) == []
    if own_hostnames():
        assert hosts_of(shared, "round = 1") == ["worker-a", "worker-b"]
    assert PASSWORD not in airflow.log()
