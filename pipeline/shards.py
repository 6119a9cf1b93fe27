"""The shards of a stage at the same time on one machine: a `star stage` for each, held to GPUs of its own."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline import errors
from pipeline.config import ExperimentConfig
from pipeline.errors import ConfigError, StarError
from pipeline.gpus import gpu_groups, pinned
from pipeline.hostile import clean
from pipeline.paths import Home
from pipeline.process import LastLines, run_child, run_side_by_side
from pipeline.progress import Progress


@dataclass(frozen=True, slots=True)
class PinnedShards:
    """Runs shards of one experiment's stages, as many at once as there are `groups` of GPUs.

    `lease` is the holder of the whole experiment, within whose lease the shards run; `config` a file with
    what this run goes by, execution settings included.
    """

    home: Home
    experiment: str
    shards: int
    groups: tuple[str, ...]
    config: Path
    lease: str
    progress: Progress

    def run(self, stage: str, round_: int, waiting: Sequence[int]) -> None:
        """Run these shards of a stage to their end, each on the next group of GPUs that is free.

        A shard that fails leaves the others alone; when all have ended, what failed is raised as the error
        that its process left with, naming the shards.
        """

        def one(shard: int, group: str, stop: threading.Event) -> _Ended:
            said = LastLines()
            name = f"shard {shard}/{self.shards} on GPU {group}"

            def tell(line: str) -> None:
                said(clean(line))
                self.progress.note(f"[{name}] {clean(line)}")

            code = run_child(
                self.command(stage, round_, shard),
                on_line=tell,
                on_error_line=tell,
                env=shard_environment(group),
                timeout_s=None,
                stop=stop,
            )
            return _Ended(name, code, said.text)

        failed = [each for each in run_side_by_side(waiting, self.groups, one) if each.code != 0]
        if failed:
            raise _failure(stage, round_, failed, len(waiting))

    def command(self, stage: str, round_: int, shard: int) -> list[str]:
        """The command line of a shard."""
        star = [sys.executable, "-m", "pipeline", "--home", str(self.home.root)]
        what = ["stage", stage, self.experiment, "--round", str(round_), "--shard", f"{shard}/{self.shards}"]
        return [*star, *what, "--config", str(self.config), "--within", self.lease]


@contextmanager
def pinned_shards(
    gpus: Sequence[str],
    *,
    home: Home,
    experiment: str,
    config: ExperimentConfig,
    lease: str,
    progress: Progress,
) -> Iterator[PinnedShards]:
    """What runs the shards of `experiment` on these GPUs while the block lasts.

    ConfigError as `check_groups`.
    """
    groups = check_groups(gpus, config)
    with tempfile.TemporaryDirectory(prefix="star-shards-") as folder:
        file = Path(folder) / f"{experiment}.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        yield PinnedShards(home, experiment, config.shards, groups, file, lease, progress)


def check_groups(gpus: Sequence[str], config: ExperimentConfig) -> tuple[str, ...]:
    """The GPUs of each engine that runs at a time; ConfigError where some would have no shard to run."""
    groups = gpu_groups(gpus, config.engine.tensor_parallel)
    if config.shards < len(groups):
        raise ConfigError(
            f"shards is {config.shards}, but --gpus gives room for {len(groups)} at a time "
            f"(engine.tensor_parallel {config.engine.tensor_parallel}); add --set shards={len(groups)}, "
            "or a multiple of it, or name fewer GPUs"
        )
    return groups


def shard_environment(group: str) -> dict[str, str]:
    """Ours, with our own code found wherever we were started, and these GPUs alone to be seen."""
    package = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([package, *([inherited] if inherited else [])])
    return pinned({**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, group)


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a shard's process ended, and the end of what it said."""

    name: str
    code: int
    said: str

    @property
    def told(self) -> str:
        how = f"ended by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{self.name}: {how}: {(self.said.splitlines() or ['it said nothing'])[-1]}"


def _failure(stage: str, round_: int, failed: Sequence[_Ended], ran: int) -> StarError:
    lines = "\n".join(f"  {each.told}" for each in failed)
    return _kind(failed[0].code)(
        f"stage {stage} of round {round_}: {len(failed)} of {ran} shards failed; what the others did is "
        f"kept, and the same command goes on with these:\n{lines}"
    )


def _kind(code: int) -> type[StarError]:
    """The error that a process leaves with this code for."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StarError))
    return next((kind for kind in kinds if kind.exit_code == code), StarError)
