"""LoRA adapters as checkpoints of their own: what stands on a base that is loaded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.engines.base import Engine

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vllm reserves room for; an adapter of rank 4 takes the room of 8."""


@runtime_checkable
class AdapterEngine(Engine, Protocol):
    """An engine that keeps the base loaded while adapters come and go."""

    def use_adapter(self, adapter: Path | None, model_hash: str) -> None:
        """Write with this adapter from now on (None: with the base alone), awake where it rested."""

    def rest(self) -> bool:
        """Give a GPU's memory back until the next `use_adapter`, weights kept in main memory.

        False where it was opened without room for adapters, and so is of no use to the next model.
        """


def is_adapter(folder: Path) -> bool:
    """Whether a model folder holds an adapter without the weights it stands on."""
    return (folder / ADAPTER_CONFIG).is_file()


def rank_of(folder: Path) -> int:
    """The rank of an adapter."""
    return int(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))["r"])


def vllm_rank(rank: int) -> int:
    """The smallest room of vllm's that an adapter of this rank fits in; the largest for what fits in none."""
    return next((room for room in VLLM_RANKS if room >= rank), VLLM_RANKS[-1])
