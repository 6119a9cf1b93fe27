"""Saved states of an unfinished training: whole by the hashes of their manifest, or passed over.

A state is a folder `checkpoint-STEP` that transformers' Trainer wrote: weights, optimizer, schedule, random
numbers. Its manifest comes last, so a state that was cut short has none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.paths import sync, write_atomically

MANIFEST = "manifest.json"
PREFIX = "checkpoint-"


def seal(state: Path) -> None:
    """Put a finished state on disk, and beside its files a manifest with the SHA-256 of each."""
    names = sorted(item.name for item in state.iterdir() if item.name != MANIFEST)
    for name in names:
        sync(state / name)
    manifest = {name: _sha256(state / name) for name in names}
    write_atomically(state / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    sync(state)


def newest_intact(folder: Path, pass_over: Callable[[Path, str], None]) -> Path | None:
    """The state of the latest step whose files are as they were sealed; None where there is none.

    A state stands only with the best one that it cites. `pass_over` is told of each later one, with what is
    wrong with it.
    """
    for state in sorted(states_in(folder), key=step_of, reverse=True):
        best = _best_of(state)
        problem = _problem(state) or (best is not None and _problem(best)) or None
        if problem is None:
            return state
        pass_over(state, problem)
    return None


def keep_only(folder: Path, *kept: Path | None) -> None:
    """Remove all states but these."""
    for state in list(states_in(folder)):
        if state not in kept:
            (state / MANIFEST).unlink(missing_ok=True)  # so that a half removed one is not believed
            shutil.rmtree(state)


def states_in(folder: Path) -> Iterator[Path]:
    """The states of a folder, whole or not, in any order."""
    return (item for item in folder.glob(f"{PREFIX}*") if item.name.removeprefix(PREFIX).isdecimal())


def step_of(state: Path) -> int:
    """The optimizer steps after which a state was saved."""
    return int(state.name.removeprefix(PREFIX))


def _problem(state: Path) -> str | None:
    try:
        manifest: dict[str, str] = json.loads((state / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{state.name} has no readable {MANIFEST}: it was cut short"
    for name, expected in manifest.items():
        if not (state / name).is_file() or _sha256(state / name) != expected:
            return f"{state.name}/{name} is not what was saved"
    return None


def _best_of(state: Path) -> Path | None:
    """The state with the lowest held-out loss when this one was saved, where it is another one."""
    try:
        step = json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))["best_global_step"]
    except (OSError, ValueError, KeyError):
        return None
    return state.with_name(f"{PREFIX}{step}") if step else None


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
