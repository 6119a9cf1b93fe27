"""Which GPUs of this machine a run takes, and how a child process is held to some of them.

Nothing here imports torch: a process that has looked at CUDA cannot be held to other devices any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from pipeline.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ANSWER_S = 60.0


def chosen_gpus(asked: str) -> tuple[str, ...]:
    """The devices that `--gpus` means: `4` the first four, `0,2,3` those.

    ConfigError where it is of neither form, names one twice, or more than there are.
    """
    if not re.fullmatch(r"\d+(,\d+)*", asked):
        raise ConfigError(f"--gpus {asked!r}: expected a number of GPUs (4) or their indices (0,2,3)")
    there = _gpus_here()
    if asked.isdecimal():
        if not 0 < int(asked) <= len(there):
            raise ConfigError(f"--gpus {asked}: expected 1 to {len(there)}; {_told(there)}")
        return there[: int(asked)]
    named = tuple(asked.split(","))
    if len(set(named)) < len(named):
        raise ConfigError(f"--gpus {asked}: expected each GPU once")
    if missing := [name for name in named if name not in there]:
        raise ConfigError(f"--gpus {asked}: there is no GPU {', '.join(missing)}; {_told(there)}")
    return named


def take_gpus(asked: str) -> tuple[str, ...]:
    """As `chosen_gpus`, and from here on this process and its children see no other: training as well."""
    gpus = chosen_gpus(asked)
    os.environ.update(pinned(os.environ, ",".join(gpus)))
    return gpus


def gpu_groups(gpus: Sequence[str], tensor_parallel: int) -> tuple[str, ...]:
    """What each shard sees, `0,1` and `2,3` of four GPUs where an engine takes two.

    ConfigError where the GPUs do not come out even.
    """
    if len(gpus) % tensor_parallel:
        raise ConfigError(
            f"--gpus gives {len(gpus)} GPUs ({', '.join(gpus)}), but engine.tensor_parallel is "
            f"{tensor_parallel}: expected a multiple of it"
        )
    return tuple(
        ",".join(gpus[start : start + tensor_parallel]) for start in range(0, len(gpus), tensor_parallel)
    )


def pinned(environment: Mapping[str, str], devices: str) -> dict[str, str]:
    """The environment of a process that sees these devices only (`2`, or `0,1` for an engine on two)."""
    # CUDA counts by speed unless told to count as nvidia-smi does.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **environment, VISIBLE: devices}


def _gpus_here() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES leaves us (a batch system sets it), else all that nvidia-smi lists."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip())
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    listed = subprocess.run(
        [command, "--query-gpu=index", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=_ANSWER_S,
        check=False,
    )
    return tuple(listed.stdout.split()) if listed.returncode == 0 else ()


def _told(there: Sequence[str]) -> str:
    if there:
        return f"there are {len(there)} ({', '.join(there)})"
    if VISIBLE in os.environ:
        return f"{VISIBLE} is empty: set it to the devices that may be used, or unset it"
    return "nvidia-smi lists none here: run without --gpus, or name devices in CUDA_VISIBLE_DEVICES"
