"""Packed rows give the gradient of padded ones; kernels that are not here are refused with what to do."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import pipeline.training.fine_tune
from pipeline.config.experiment import TrainConfig
from pipeline.errors import ConfigError
from pipeline.training import TrainSpec, planned_steps, train
from pipeline.training.fine_tune import fine_tune
from pipeline.training.kernels import require_kernels
from tests.training.conftest import RecordingProgress

Spec = Callable[..., TrainSpec]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which torch sees a GPU; that it computes there is nowhere asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize("name", ["packing", "liger"])
def test_kernels_on_a_machine_without_a_gpu_are_refused_before_anything_runs(spec_for: Spec, name: str):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    spec = spec_for(**{name: True})
    with pytest.raises(ConfigError, match=rf"train\.{name} is on, .* need a CUDA GPU.*train\.length_window"):
        train(spec, RecordingProgress())
    assert not spec.output.parent.exists()


@pytest.mark.parametrize(("name", "package"), [("packing", "flash-attn"), ("liger", "liger-kernel")])
def test_kernels_that_are_not_installed_name_the_package(
    gpu: None, monkeypatch: pytest.MonkeyPatch, name: str, package: str
):
    for module in ("flash_attn", "flash_attn_interface", "liger_kernel"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("pipeline.training.kernels.find_spec", lambda _name: None)
    with pytest.raises(
        ConfigError, match=rf"train\.{name} is on, but {package} is not installed.*pip install"
    ):
        require_kernels(TrainConfig.model_validate({name: True}))


def test_packing_in_float32_is_refused(gpu: None):
    with pytest.raises(ConfigError, match=r"flash attention does not compute in float32"):
        require_kernels(TrainConfig(packing=True, precision="float32"))


def test_kernels_reach_the_trainers_arguments_and_leave_the_digest_alone(spec_for: Spec, tmp_path: Path):
    plain, fast = spec_for(), spec_for(packing=True, liger=True)
    arguments = [
        pipeline.training.fine_tune._arguments(spec, planned_steps(spec.config, 48, 1), tmp_path)
        for spec in (plain, fast)
    ]
    assert [(each.padding_free, each.use_liger_kernel, each.packing) for each in arguments] == [
        (False, False, False),
        (True, True, False),
    ]
    assert plain.digest() == fast.digest()


def test_packed_rows_attend_to_themselves_alone_and_give_the_gradient_of_padded_ones(
    spec_for: Spec, monkeypatch: pytest.MonkeyPatch
):
    from safetensors.torch import load_file

    # transformers' own attention keeps packed rows apart too, by a mask: slowly, and on a CPU.
    monkeypatch.setattr(pipeline.training.fine_tune, "flash_attention", lambda: "sdpa")
    padded, packed = spec_for(output="padded", micro_batch_size=4), spec_for(output="packed", packing=True)
    losses: dict[str, list[float]] = {"padded": [], "packed": []}
    for spec in (padded, packed):
        spec.output.mkdir(parents=True)
        into = losses[spec.output.name]

        def say(event: str, into: list[float] = into, **fields: float) -> None:
            if event == "step":
                into.append(fields["loss"])

        fine_tune(spec, spec.output, spec.output.with_name(f"states-{spec.output.name}"), say)
    assert losses["packed"] == pytest.approx(losses["padded"], abs=1e-4)
    expected, found = (load_file(spec.output / "model.safetensors") for spec in (padded, packed))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)
