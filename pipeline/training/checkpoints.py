"""Checkpoint folders: complete or absent, named by content, kept while something needs them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.engines.adapters import ADAPTER_WEIGHTS, is_adapter
from pipeline.engines.weights import content_names, hash_model
from pipeline.errors import NotReadyError, StarError
from pipeline.paths import sync, write_atomically

LINEAGE = "lineage.json"
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_MARGIN_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class CheckpointRole:
    """A checkpoint on disk and why it may have to stay: `best` by dev accuracy, `newest` round."""

    round: int
    path: Path
    best: bool = False
    newest: bool = False


def require_checkpoint(path: Path) -> Path:
    """`path` itself if config, tokenizer and weights are there; else NotReadyError naming what is missing."""
    present = set(content_names(path))
    missing = [name for name in ("config.json", "tokenizer_config.json") if name not in present]
    missing += sorted(_weights_of(path, present) - present)
    if missing:
        what = "there is no such folder" if not path.is_dir() else f"{', '.join(missing)} missing"
        raise NotReadyError(
            f"checkpoint {path} cannot be loaded: {what}; run the train stage of its round again "
            "(`star stage train EXPERIMENT --round N`), which writes it anew"
        )
    return path


def _weights_of(path: Path, present: set[str]) -> set[str]:
    """Names of the weight files that must be there: those the index lists, or the single file."""
    if is_adapter(path):
        return {ADAPTER_WEIGHTS}
    indices = [name for name in present if name.endswith(".safetensors.index.json")]
    if not indices:
        return {"model.safetensors"} if not any(n.endswith(".safetensors") for n in present) else set()
    return {str(name) for index in indices for name in _json(path / index)["weight_map"].values()}


def weight_bytes(path: Path) -> int:
    """Bytes of the model files of a folder: what another checkpoint of this model will take."""
    return sum((path / name).stat().st_size for name in content_names(path))


def check_free_disk(start: Path, output: Path) -> None:
    """StarError with numbers and remedy where a checkpoint like `start` does not fit at `output`."""
    parent = output.parent
    while not parent.exists():
        parent = parent.parent
    needed = weight_bytes(start) + _MARGIN_BYTES
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise StarError(
            f"not enough disk for checkpoint {output}: {_mb(needed)} needed, {_mb(free)} free on {parent}; "
            "free some, put the home elsewhere (STAR_HOME), or set train.keep to 'last' so that old ones go"
        )


def _mb(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"


def copy_companions(start: Path, folder: Path) -> None:
    """Copy config, generation config and tokenizer of the start model: only weights are trained."""
    for name in content_names(start):
        if not name.endswith(_WEIGHTS):
            shutil.copyfile(start / name, folder / name)


def publish(folder: Path, output: Path, lineage: dict[str, Any]) -> None:
    """Make a finished folder visible as `output` at once: lineage, fsync, rename; an older `output` goes."""
    write_atomically(folder / LINEAGE, (json.dumps(lineage, indent=1, sort_keys=True) + "\n").encode())
    # safetensors makes files that only their owner may read; the rest shows what the user's umask is.
    shared = (folder / "config.json").stat().st_mode
    for item in folder.iterdir():
        item.chmod(shared)
    for item in [*folder.iterdir(), folder]:
        sync(item)
    if output.exists():
        remove_checkpoint(output)
    os.replace(folder, output)
    sync(output.parent)


def read_lineage(path: Path) -> dict[str, Any] | None:
    """The lineage of a checkpoint whose files still have the content they were published with, else None."""
    try:
        lineage = _json(path / LINEAGE)
        require_checkpoint(path)
    except (OSError, ValueError, NotReadyError):
        return None
    return lineage if lineage.get("content_hash") == hash_model(path) else None


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def states_folder(output: Path, digest: str) -> Path:
    """Beside `output`: where an unfinished training of that digest saves its states."""
    return output.parent / f".{output.name}.states-{digest[:16]}"


def work_folder(output: Path, states: Path | None = None) -> Path:
    """A fresh folder beside `output` for unfinished work; what a killed training left there is removed.

    All but `states`: from them a training goes on.
    """
    leftovers = output.parent.glob(f".{output.name}.*") if output.parent.is_dir() else ()
    for leftover in leftovers:
        if leftover != states:
            shutil.rmtree(leftover)
    folder = output.parent / f".{output.name}.work{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint so that it is gone at once, never half there."""
    doomed = path.with_name(f".{path.name}.removed{os.getpid()}")
    os.replace(path, doomed)
    shutil.rmtree(doomed)


def prune(checkpoints: Sequence[CheckpointRole], keep: Literal["best", "last", "all"]) -> list[Path]:
    """Remove the checkpoints that need not stay; returns what was removed.

    The newest always stays, for the next round is written with it; `best` keeps the best too, `all` all.
    """
    if keep == "all":
        return []
    doomed = [item for item in checkpoints if not (item.newest or (item.best and keep == "best"))]
    return list(_remove_existing(item.path for item in doomed))


def _remove_existing(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.exists():
            remove_checkpoint(path)
            yield path
