"""Kernels that only GPUs have: flash attention over packed rows, and Liger's layers."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from pipeline.config.experiment import TrainConfig
from pipeline.errors import ConfigError

_FLASH_ATTENTION = {"flash_attn_interface": "flash_attention_3", "flash_attn": "flash_attention_2"}
"""Packages, the fastest first, and what transformers calls them."""


def flash_attention() -> str | None:
    """The installed flash attention as `attn_implementation` takes it; None where there is none."""
    return next((name for package, name in _FLASH_ATTENTION.items() if find_spec(package)), None)


def require_kernels(config: TrainConfig) -> None:
    """ConfigError with the remedy where `train.packing` or `train.liger` asks for what is not here."""
    if not (config.packing or config.liger):
        return
    import torch

    if not torch.cuda.is_available():
        asked = "train.packing" if config.packing else "train.liger"
        raise ConfigError(
            f"{asked} is on, but its kernels need a CUDA GPU, and torch sees none on this machine. On a "
            "CPU packed rows train two to five times slower than padded ones; leave it out, and set "
            "train.length_window above 1 where much is padded"
        )
    if config.packing and config.precision == "float32":
        raise ConfigError(
            "train.packing is on, but flash attention does not compute in float32; set train.precision to "
            "auto or bfloat16, or leave train.packing out"
        )
    missing = "flash-attn" if config.packing and flash_attention() is None else None
    missing = missing or ("liger-kernel" if config.liger and find_spec("liger_kernel") is None else None)
    if missing:
        asked = "train.packing" if missing == "flash-attn" else "train.liger"
        raise ConfigError(
            f"{asked} is on, but {missing} is not installed in {sys.prefix}; run: pip install {missing}; or "
            "leave it out"
        )
