"""An export's folder appears whole or not at all, and never replaces one by accident."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError


@contextmanager
def new_folder(target: Path, force: bool) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes it at the end of the block.

    Raises ConfigError where `target` holds something and `force` is not given.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not force):
        raise ConfigError(
            f"{target} exists and is not an empty folder; give another --to, or --force to replace it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
