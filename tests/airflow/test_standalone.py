"""`make airflow` before anything is started: passwords, settings, and what it refuses."""

import json
import socket
import stat
from pathlib import Path

import pytest

from pipeline.airflow import standalone
from pipeline.airflow.standalone import Standalone, environment, main


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standalone:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAR_SITE", raising=False)
    monkeypatch.setenv("STAR_HOME", str(tmp_path / "star"))
    home = tmp_path / "airflow"
    home.mkdir()
    return Standalone(home, "127.0.0.1", 8123, login=True)


def test_password_is_random_kept_and_readable_by_its_owner_only(
    airflow: Standalone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAR_AIRFLOW_PASSWORD", raising=False)
    standalone._make_password(airflow)
    first = json.loads(airflow.passwords.read_text())["admin"]
    assert len(first) >= 16
    assert stat.S_IMODE(airflow.passwords.stat().st_mode) == 0o600
    standalone._make_password(airflow)
    assert airflow.api().password == first
    monkeypatch.setenv("STAR_AIRFLOW_PASSWORD", "of my own")
    standalone._make_password(airflow)
    assert airflow.api().password == "of my own"


def test_environment_binds_to_this_machine_and_points_tasks_at_the_port(airflow: Standalone) -> None:
    env = environment(airflow)
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8123"
    assert env["AIRFLOW_HOME"] == str(airflow.home)
    assert (Path(env["AIRFLOW__CORE__DAGS_FOLDER"]) / "star_round.py").is_file()
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"


def test_environment_gives_gpu_stages_a_pool_unless_the_site_has_settings(
    airflow: Standalone, tmp_path: Path
) -> None:
    made = Path(environment(airflow)["STAR_SITE"])
    assert made == airflow.home / "site.yaml" and "pool: gpu" in made.read_text()
    own = tmp_path / "star" / "site.yaml"
    own.parent.mkdir()
    own.write_text("airflow: {owner: me}")
    assert environment(airflow)["STAR_SITE"] == str(own)


def test_no_login_beyond_this_machine_is_refused(
    airflow: Standalone, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--no-login", "--host", "0.0.0.0"])
    assert refused.value.code == 2
    assert "whole network" in capsys.readouterr().err


def test_port_that_is_taken_is_said_with_another_one(
    airflow: Standalone, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--airflow-home", str(airflow.home), "--port", str(port)]) == 1
    assert f"PORT={port + 1}" in capsys.readouterr().err
