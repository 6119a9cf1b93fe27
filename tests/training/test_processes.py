"""A training on several processes: two with gloo on the CPU for real; FSDP and DeepSpeed as accelerate reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.experiment import LoraConfig, TrainConfig
from pipeline.errors import DataError, StarError
from pipeline.training import TrainSpec, train
from pipeline.training.environment import child_environment
from pipeline.training.plan import micro_batch, passes_per_step
from pipeline.training.processes import training_command
from tests.training.conftest import RecordingProgress
from tests.training.test_train import in_this_process, weights

Spec = Callable[..., TrainSpec]
FSDP = {
    "fsdp_version": 2,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_reshard_after_forward": True,
    "fsdp_state_dict_type": "FULL_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
}
ZERO = {
    "zero_stage": 3,
    "zero3_init_flag": False,
    "zero3_save_16bit_model": True,
    "offload_optimizer_device": "cpu",
}


def config(**settings: Any) -> TrainConfig:
    return TrainConfig.model_validate(settings)


def launched(work: Path, **settings: Any) -> tuple[list[str], Any]:
    """The command line, and what accelerate makes of it."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    command = training_command(
        config(**settings), work, work / "spec.json", work / "checkpoint", work / "states"
    )
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(command[3:]))
    return command, args


def test_one_process_is_started_without_a_launcher(tmp_path: Path) -> None:
    command = training_command(config(), tmp_path, Path("s.json"), Path("c"), Path("s"))
    assert command == [sys.executable, "-m", "pipeline.training.child", "s.json", "c", "s"]


def test_several_processes_are_started_by_accelerate_with_settings_of_their_own(tmp_path: Path) -> None:
    command, args = launched(tmp_path, processes=4, batch_size=32)
    assert command == [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(tmp_path / "accelerate.yaml"), "--module"),
        *(
            "pipeline.training.child",
            *(str(tmp_path / name) for name in ("spec.json", "checkpoint", "states")),
        ),
    ]
    assert yaml.safe_load((tmp_path / "accelerate.yaml").read_text()) == {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "num_machines": 1,
        "machine_rank": 0,
        "num_processes": 4,
        "main_process_port": 0,
        "mixed_precision": "no",
        "dynamo_config": {"dynamo_backend": "NO"},
        "use_cpu": False,
        "debug": False,
    }
    assert (args.multi_gpu, args.use_fsdp, args.use_deepspeed, args.num_processes) == (True, False, False, 4)
    assert (args.module, args.training_script) == (True, "pipeline.training.child")
    assert args.training_script_args == [
        str(tmp_path / name) for name in ("spec.json", "checkpoint", "states")
    ]


def test_fsdp_settings_reach_the_processes_as_accelerate_names_them(tmp_path: Path) -> None:
    from accelerate.utils.launch import prepare_multi_gpu_env

    _, args = launched(tmp_path, processes=2, fsdp=FSDP)
    assert (args.multi_gpu, args.use_fsdp, args.use_deepspeed) == (False, True, False)
    environment = prepare_multi_gpu_env(args)
    assert {
        name: environment[name]
        for name in ("ACCELERATE_USE_FSDP", "FSDP_VERSION", "FSDP_AUTO_WRAP_POLICY", "FSDP_STATE_DICT_TYPE")
    } == {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    }


def test_deepspeed_settings_reach_the_processes_as_accelerate_names_them(tmp_path: Path) -> None:
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    _, args = launched(tmp_path, processes=2, deepspeed=ZERO)
    args.deepspeed_fields_from_accelerate_config = ""
    assert (args.multi_gpu, args.use_fsdp, args.use_deepspeed) == (False, False, True)
    _, environment = prepare_deepspeed_cmd_env(args)
    assert {
        name: environment[f"ACCELERATE_DEEPSPEED_{name}"]
        for name in ("ZERO_STAGE", "ZERO3_SAVE_16BIT_MODEL", "OFFLOAD_OPTIMIZER_DEVICE")
    } == {"ZERO_STAGE": "3", "ZERO3_SAVE_16BIT_MODEL": "true", "OFFLOAD_OPTIMIZER_DEVICE": "cpu"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 3, "batch_size": 32}, "batch_size is 32, train.processes 3: expected a multiple"),
        ({"processes": 2, "fsdp": FSDP, "deepspeed": ZERO}, "exclude each other"),
    ],
)
def test_processes_that_cannot_share_a_step_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**settings)


@pytest.mark.parametrize(
    ("settings", "micro", "passes"),
    [
        ({"batch_size": 32}, 32, 1),
        ({"batch_size": 32, "micro_batch_size": 5}, 4, 8),
        ({"batch_size": 32, "processes": 4}, 8, 1),
        ({"batch_size": 32, "processes": 4, "micro_batch_size": 3}, 2, 4),
    ],
)
def test_batch_is_the_same_however_many_processes_share_it(
    settings: dict[str, Any], micro: int, passes: int
) -> None:
    train_config = config(**settings)
    assert (micro_batch(train_config), passes_per_step(train_config)) == (micro, passes)
    assert micro * passes * train_config.processes == train_config.batch_size


def test_training_sees_as_many_gpus_as_it_has_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5")
    assert child_environment(1)["CUDA_VISIBLE_DEVICES"] == "2"
    assert child_environment(1, 2)["CUDA_VISIBLE_DEVICES"] == "2,3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert child_environment(1, 2)["CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.parametrize("lora", [None, LoraConfig(r=4, alpha=8).model_dump()])
def test_weights_gathered_from_processes_make_the_checkpoint_of_one(
    spec_for: Spec, lora: dict[str, Any] | None
) -> None:
    plain, *_ = in_this_process(spec_for(output="plain", lora=lora))
    gathered, *_ = in_this_process(spec_for(output="gathered", lora=lora, fsdp=FSDP))
    assert gathered == plain


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, LoraConfig(r=4, alpha=8).model_dump()])
def test_two_processes_train_what_one_trains(spec_for: Spec, lora: dict[str, Any] | None) -> None:
    import torch

    settings: dict[str, Any] = {"steps": 6, "lora": lora, "micro_batch_size": 2, "learning_rate": 5e-3}
    one, two = RecordingSteps(), RecordingSteps()
    alone = train(spec_for(output="alone", **settings), one)
    shared = train(spec_for(output="shared", processes=2, **settings), two)
    assert len(two.details) == 6  # of one process: the other keeps quiet
    assert (shared.steps, shared.tokens, shared.epochs) == (alone.steps, alone.tokens, alone.epochs)
    assert shared.loss == pytest.approx(alone.loss, abs=1e-4)
    assert [detail.split(",")[0] for detail in one.details] == [
        detail.split(",")[0] for detail in two.details
    ]
    expected, found = weights(alone.path), weights(shared.path)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-3, rtol=1e-2)
    assert spec_for(processes=2, **settings).digest() == spec_for(**settings).digest()


class RecordingSteps(RecordingProgress):
    """Keeps what each step said of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.details: list[str] = []

    def task(self, title: str, total: int | None, unit: str = "") -> Any:
        return _Steps(self)


class _Steps:
    def __init__(self, progress: RecordingSteps) -> None:
        self._progress = progress

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def advance(self, done: int = 1, detail: str = "") -> None:
        self._progress.details.append(detail)

    def resume(self, done: int) -> None:
        raise AssertionError("nothing was done before")


@pytest.mark.slow
def test_model_is_spread_over_gpus_only(spec_for: Spec) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there are GPUs")
    with pytest.raises(StarError, match=r"train\.fsdp spreads a model over GPUs, and there is none"):
        train(spec_for(processes=2, fsdp=FSDP), RecordingProgress())


@pytest.mark.slow
def test_row_that_the_model_cannot_embed_is_told_as_such_by_two_processes(
    spec_for: Spec, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"input_ids": [9, 4, 99, 1], "labels": [-100, -100, 99, 1]}] * 8
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="hold token ids from 1 to 99"):
        train(spec_for(data=tmp_path / "bad.parquet", processes=2), RecordingProgress())
    assert not [name for name in os.listdir(tmp_path / "checkpoints") if not name.startswith("bad")]
