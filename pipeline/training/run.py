"""Train one checkpoint: check, spawn the child, relay its progress, verify what it wrote, publish."""

from __future__ import annotations

import json
import platform
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.engines.weights import hash_model
from pipeline.errors import DataError, DivergedError, StarError
from pipeline.hostile import without_passwords
from pipeline.identity import digest
from pipeline.process import LastLines, run_child
from pipeline.progress import Progress, Task
from pipeline.training import checkpoints
from pipeline.training.environment import child_environment
from pipeline.training.kernels import require_kernels
from pipeline.training.plan import micro_batch, planned_steps
from pipeline.training.processes import training_command
from pipeline.training.spec import TrainSpec


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    `tokens` counts non-padding tokens, prompts included; `loss` is the mean over the last tenth of the steps,
    in nats per trained token; `seconds` is the wall time of the child, start-up included; `step_seconds` that
    of its steps, the first of which took `first_step_seconds` (both 0 where the checkpoint was there before).
    Of a training that went on after `resumed_step`, all times and `new_tokens` are those since then. Peak
    memory is the child's, in MiB. `held_out_losses` are pairs of step and loss; the weights are those of
    `best_step`. `lost_logs` counts what a tracker did not take.
    """

    path: Path
    content_hash: str
    steps: int
    epochs: float
    tokens: int
    loss: float
    seconds: float
    peak_memory_mb: float
    device: str
    versions: dict[str, str] = field(default_factory=dict)
    step_seconds: float = 0.0
    first_step_seconds: float = 0.0
    peak_gpu_memory_mb: float | None = None
    new_tokens: int = 0
    resumed_step: int = 0
    held_out_losses: list[list[float]] = field(default_factory=list)
    best_step: int | None = None
    lost_logs: dict[str, int] = field(default_factory=dict)


def train(spec: TrainSpec, progress: Progress) -> TrainResult:
    """Train as `spec` says and publish the checkpoint as `spec.output`, whole or not at all.

    An `output` that holds what this spec gives is taken as it is, and a training that was killed goes on from
    its newest intact state. Raises ConfigError where it asks for kernels that are not here, NotReadyError
    where the start model is incomplete, DataError for a bad training row, DivergedError as `watch` says,
    StarError where the disk is full, memory ran out or the child failed (with the end of what it said).
    """
    require_kernels(spec.config)
    checkpoints.require_checkpoint(spec.start_path)
    spec_digest = spec.digest()
    known = checkpoints.read_lineage(spec.output)
    if known is not None and known.get("spec_digest") == spec_digest:
        progress.note(f"checkpoint {spec.output.name} is there already: {known['result']['steps']:,} steps")
        untimed = {"step_seconds": 0.0, "first_step_seconds": 0.0, "new_tokens": 0, "resumed_step": 0}
        return TrainResult(
            path=spec.output, content_hash=known["content_hash"], **{**known["result"], **untimed}
        )
    checkpoints.check_free_disk(spec.start_path, spec.output)
    # Another size of forward passes rounds otherwise, and several processes do: what such a training goes on
    # from would not be its own.
    passes = [micro_batch(spec.config), spec.config.processes, spec.config.launched]
    states = checkpoints.states_folder(spec.output, digest([spec_digest, *passes]))
    work = checkpoints.work_folder(spec.output, states)
    try:
        folder = work / "checkpoint"
        folder.mkdir()
        result = _train_in_child(spec, work, folder, states, progress)
        checkpoints.require_checkpoint(folder)
        content_hash = hash_model(folder)
        lineage = {**spec.lineage, "spec_digest": spec_digest, "content_hash": content_hash, "result": result}
        checkpoints.publish(folder, spec.output, lineage)
        shutil.rmtree(states, ignore_errors=True)
    except (DataError, DivergedError):
        shutil.rmtree(states, ignore_errors=True)  # from there it would end as it did
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):
            states.rmdir()  # without a state in it
    return TrainResult(path=spec.output, content_hash=content_hash, **result)


class _Relay:
    """Reads the child's events: steps go to the progress, the end is kept."""

    def __init__(self, task: Task, progress: Progress) -> None:
        self._task, self._progress = task, progress
        self._tokens_before = 0
        self._held_out = ""
        self.done: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None

    def __call__(self, line: str) -> None:
        event: dict[str, Any] = json.loads(line)
        kind = event.pop("event")
        if kind == "step":
            rate = (event["tokens"] - self._tokens_before) / max(event["seconds"], 1e-9)
            self._task.advance(1, f"loss {event['loss']:.3f}{self._held_out}, {rate:,.0f} tokens/s")
        elif kind == "held_out":
            self._held_out = f" (held out {event['loss']:.3f})"
        elif kind == "resumed":
            self._tokens_before = event["tokens"]
            self._task.resume(event["step"])
            self._progress.note(f"training goes on after step {event['step']:,}")
        elif kind == "state_passed_over":
            self._progress.note(f"a saved state of the training is passed over: {event['problem']}")
        elif kind == "no_room":
            needed, free = event["needed"] / (1 << 20), event["free"] / (1 << 20)
            self._progress.note(
                f"the disk has {free:,.0f} MiB free and a saved state takes {needed:,.0f}: none is saved, so "
                "a training that is killed starts anew"
            )
        elif kind == "tracker_lost":
            self._progress.note(f"{event['tracker']} is left alone, training goes on: {event['why']}")
        elif kind == "done":
            self.done = event
        elif kind == "error":
            self.error = event


def _train_in_child(
    spec: TrainSpec, work: Path, folder: Path, states: Path, progress: Progress
) -> dict[str, Any]:
    """The fields of a TrainResult but path and hash, from a child that wrote `folder`."""
    spec_path = work / "spec.json"
    spec_path.write_text(spec.to_json(), encoding="utf-8")
    steps = planned_steps(spec.config, pq.read_metadata(spec.rows_path).num_rows, spec.round).steps
    said = LastLines()
    started = time.monotonic()
    with progress.task(f"train round {spec.round}", steps, "steps") as task:
        relay = _Relay(task, progress)
        code = run_child(
            training_command(spec.config, work, spec_path, folder, states),
            on_line=relay,
            on_error_line=said,
            env={
                **child_environment(spec.config.threads, spec.config.processes),
                **(spec.tracking.environment() if spec.tracking else {}),
            },
            timeout_s=None,
        )
    if relay.error is not None:
        kinds = {kind.exit_code: kind for kind in (DataError, DivergedError)}
        kind = kinds.get(relay.error["exit_code"], StarError)
        raise kind(f"training of {spec.output}: {relay.error['message']}")
    if code != 0 or relay.done is None:
        how = f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"
        hint = "; signal 9 is mostly the system's answer to memory running out" if code == -9 else ""
        last = without_passwords(said.text)
        raise StarError(f"the training process of {spec.output} {how}{hint}; it said last:\n{last}")
    versions = {"python": platform.python_version(), **relay.done.pop("versions")}
    return {**relay.done, "versions": versions, "seconds": round(time.monotonic() - started, 3)}
