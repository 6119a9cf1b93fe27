"""A training on several processes: how `accelerate launch` starts them, and which of them speaks.

`train.batch_size` stays the rows of an optimizer step over all processes: each takes `batch_size / processes`
of them, in passes of at most `train.micro_batch_size`. The loss of a step is the mean over the trained tokens
of all processes, and so are its gradients.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.experiment import TrainConfig
from pipeline.errors import StarError
from pipeline.training.events import Say

SETTINGS = "accelerate.yaml"


def training_command(config: TrainConfig, work: Path, spec: Path, folder: Path, states: Path) -> list[str]:
    """The command line that trains what `spec` says into `folder`, its states in `states`; for several
    processes a launcher's.

    The launcher's settings are written into `work`: what `accelerate config` has left in this user's home is
    not read.
    """
    child = ["pipeline.training.child", str(spec), str(folder), str(states)]
    if not config.launched:
        return [sys.executable, "-m", *child]
    settings = work / SETTINGS
    settings.write_text(yaml.safe_dump(launch_settings(config), sort_keys=False), encoding="utf-8")
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(settings), "--module"),
        *child,
    ]


def launch_settings(config: TrainConfig) -> dict[str, Any]:
    """The file of settings that accelerate reads, as `accelerate config` would write it."""
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",  # on a machine without GPUs the processes agree on gloo
        "num_machines": 1,
        "machine_rank": 0,
        "num_processes": config.processes,
        "main_process_port": 0,  # any that is free: two trainings may share a machine
        "mixed_precision": "no",  # the trainer's own arguments say
        "dynamo_config": {"dynamo_backend": "NO"},
        "use_cpu": False,
        "debug": False,
    }
    if config.fsdp is not None:
        settings |= {"distributed_type": "FSDP", "fsdp_config": dict(config.fsdp)}
    if config.deepspeed is not None:
        settings |= {"distributed_type": "DEEPSPEED", "deepspeed_config": dict(config.deepspeed)}
    return settings


def is_main() -> bool:
    """Whether this process is the one that says steps and writes the checkpoint."""
    return os.environ.get("RANK", "0") == "0"


def said_by_main(say: Say) -> Say:
    """`say` for one process of several: the others keep quiet, but for the error that ends them."""
    if is_main():
        return say

    def quiet(event: str, **fields: Any) -> None:
        if event == "error":
            say(event, **fields)

    return quiet


def check_devices(config: TrainConfig) -> None:
    """StarError where there are GPUs, but fewer than processes, or none to spread a model over."""
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    spread = [name for name in ("fsdp", "deepspeed") if getattr(config, name) is not None]
    if spread and not there:
        raise StarError(
            f"train.{spread[0]} spreads a model over GPUs, and there is none to be seen here; set it to null"
        )
    if 0 < there < config.processes:
        raise StarError(
            f"train.processes is {config.processes}, but {there} GPUs are to be seen here "
            f"(CUDA_VISIBLE_DEVICES {os.environ.get('CUDA_VISIBLE_DEVICES')!r}); "
            f"set train.processes to at most {there}"
        )


def whole_model(trainer: Any, config: TrainConfig, load: Callable[[], Any]) -> Any:
    """The trained model with all of its weights, in the main process; None in the others.

    Every process has to call it: where the weights are spread (FSDP, ZeRO) they are gathered from all, into
    the model that `load` gives.
    """
    accelerator = trainer.accelerator
    if config.fsdp is None and config.deepspeed is None:
        return accelerator.unwrap_model(trainer.model) if is_main() else None
    state = accelerator.get_state_dict(trainer.model_wrapped)
    if not is_main():
        return None
    model = load()
    own = model.state_dict()
    given = {own[name].data_ptr() for name in state if name in own}  # tied weights may be there once
    lost = [name for name, weight in own.items() if name not in state and weight.data_ptr() not in given]
    if lost or state.keys() - own.keys():
        raise StarError(
            f"the gathered weights lack {len(lost)} of {len(own)} ({', '.join(lost[:3])}); set in train.fsdp "
            "fsdp_state_dict_type: FULL_STATE_DICT, or in train.deepspeed zero3_save_16bit_model: true"
        )
    model.load_state_dict(state, strict=False)
    return model
