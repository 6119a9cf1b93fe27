"""The wheel, installed in an empty folder, is all that a user needs."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The project's wheel, built by the locked hatchling."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repository]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_wheel_carries_package_data_and_types_and_no_tests(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for kind in ("sql", "configs", "dags"):
        here = {
            f"pipeline/_data/{file.relative_to(repository).as_posix()}"
            for file in (repository / kind).rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        assert here <= set(names), f"not in the wheel: {sorted(here - set(names))}"
    assert "pipeline/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"pipeline", next(top for top in tops if top.endswith(".dist-info"))}


@pytest.mark.slow
def test_wheel_in_an_empty_folder_inits_and_runs_the_smoke_experiment(wheel: Path, tmp_path: Path) -> None:
    star = install(wheel, tmp_path / "venv")
    folder = tmp_path / "empty"
    folder.mkdir()

    run(star, "init", cwd=folder)
    assert (folder / "configs" / "smoke.yaml").is_file()

    told = run(star, "run", "configs/smoke.yaml", "--json", cwd=folder)
    documents = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    rounds = [document for document in documents if "round" in document]
    assert [document["round"] for document in rounds] == list(range(len(rounds)))
    assert len(rounds) >= 2, f"round 0 and at least one round of training; got {told}"
    assert {document["status"] for document in rounds} == {"done"}
    assert all(document["training_rows"] > 0 and document["checkpoint_hash"] for document in rounds[1:])
    assert documents[-1]["reason"]
    assert (folder / "runs" / "star.duckdb").is_file()

    (experiment,) = json.loads(run(star, "status", "--json", cwd=folder))
    assert (experiment["experiment"], experiment["rounds_done"]) == ("smoke", len(rounds))


def install(wheel: Path, venv: Path) -> Path:
    """Install the wheel in an environment of its own that sees the locked dependencies; its `star`.

    The dependencies come by a path file: path files in *their* folder, such as the one of the editable
    checkout, are not followed, so `pipeline` can only come from the wheel.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(pip, check=True, cwd=venv)
    Path(site, "locked-dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run(
        [python, "-c", "import pipeline; print(pipeline.__file__)"],
        cwd=venv,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found.startswith(site), f"pipeline comes from {found}, not from the wheel"
    return venv / "bin" / "star"


def environment() -> dict[str, str]:
    """Without what would lead to the checkout or to another home."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "STAR_HOME")}


def run(star: Path, *arguments: str, cwd: Path) -> str:
    """Stdout of a `star` command that must succeed."""
    done = subprocess.run([star, *arguments], cwd=cwd, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"star {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
    return done.stdout
