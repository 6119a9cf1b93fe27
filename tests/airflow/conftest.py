"""A home of Airflow's own before anything imports it, and drivers that run it in processes of their own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

# Importing Airflow writes a config there.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

REPOSITORY = Path(__file__).resolve().parents[2]
Driver = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def drive(tmp_path: Path) -> Driver:
    """Run Python code that imports Airflow, in a process and with homes of its own."""

    def run(code: str, *arguments: str, timeout: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**airflow_environment(tmp_path), **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def airflow_environment(folder: Path) -> dict[str, str]:
    """Of an Airflow whose home, and whose experiments, lie in `folder`."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "STAR_HOME": str(folder / "star"),
    }
