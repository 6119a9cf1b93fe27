"""Where things lie. Names are validated, and every stored path is relative to the home."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError

EXPERIMENT_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


def validate_experiment(name: str) -> str:
    """The name itself if it is a valid experiment name, else ConfigError: it becomes a folder and a key."""
    if not EXPERIMENT_NAME.fullmatch(name):
        raise ConfigError(
            f"experiment name {name!r} is not valid: expected 1 to 63 characters of a-z, 0-9 and '-', "
            "starting with a letter or digit, for example 'gsm8k-qwen-05b'"
        )
    return name


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything a user's experiments made (`STAR_HOME`, default `runs/`)."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`STAR_HOME` if set, else `runs/` under the working directory."""
        return cls(Path(os.environ.get("STAR_HOME") or "runs").expanduser().resolve())

    @property
    def store_path(self) -> Path:
        return self.root / "star.duckdb"

    @property
    def snapshot_path(self) -> Path:
        """A copy for analysts, who never touch the live file."""
        return self.root / "star.snapshot.duckdb"

    @property
    def bases(self) -> Path:
        """Bases pretrained here, one folder per config digest, shared by experiments."""
        return self.root / "bases"

    def plan(self, name: str) -> Home:
        """A home inside this one for a pilot run, with nothing of its experiments but the bases."""
        return Home(self.root / "plans" / validate_experiment(name))

    def experiment(self, name: str) -> Path:
        return self.root / "experiments" / validate_experiment(name)

    def round(self, name: str, round_: int) -> Path:
        return self.experiment(name) / f"round-{round_:03d}"

    def stage(self, name: str, round_: int, stage: str) -> Path:
        """Shard files, manifests and part files of one stage."""
        return self.round(name, round_) / stage

    def ahead(self, name: str, round_: int) -> Path:
        """What was written and graded before the stages began that it belongs to; gone when they are done."""
        return self.round(name, round_) / "ahead"

    def checkpoint(self, name: str, round_: int, variant: str = "main") -> Path:
        return self.round(name, round_) / "checkpoints" / variant

    def launched_config(self, name: str) -> Path:
        """The resolved config of an experiment that Airflow runs, execution settings included."""
        return self.experiment(name) / "config.yaml"

    def launched(self, name: str) -> Path:
        """When Airflow's launcher was last asked to run the experiment."""
        return self.experiment(name) / "launch.json"

    def trackers(self, name: str) -> Path:
        """What TensorBoard and other trackers keep on disk."""
        return self.experiment(name) / "trackers"

    def reports(self, name: str) -> Path:
        return self.experiment(name) / "report"

    def relative(self, path: Path) -> str:
        """`path` as the store keeps it: relative to the home, POSIX. ConfigError if it lies outside."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            raise ConfigError(
                f"path {path} lies outside the home {self.root}; expected one below it"
            ) from None

    def absolute(self, stored: str) -> Path:
        """The path behind a stored one. ConfigError if it climbs out of the home."""
        path = (self.root / stored).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ConfigError(
                f"stored path {stored!r} leaves the home {self.root}; the store has been tampered with"
            )
        return path


def package_data(kind: str) -> Path:
    """The folder of shipped `sql`, `configs` or `dags`: beside the package in a checkout, inside a wheel."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_data" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"package data {kind!r} not found beside or inside {package}; reinstall the package"
    )


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds what it held before or all of it: temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + f".tmp{os.getpid()}")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
