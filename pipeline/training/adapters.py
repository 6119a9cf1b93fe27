"""Writes a LoRA adapter as a checkpoint. Runs in the child process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.engines.adapters import ADAPTER_CONFIG


def save_adapter(model: Any, folder: Path, *, base_model: str | None) -> None:
    """The adapter of a peft model, in float32, so that equal trainings give equal files.

    `base_model` is the name that the config knows the base by; a path of this machine would be part of the
    content hash.
    """
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # a card of peft's, with nothing in it
    path = folder / ADAPTER_CONFIG
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = base_model
    # peft writes a set in the order of this process's hashes.
    if isinstance(content["target_modules"], list):
        content["target_modules"].sort()
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
